-- name: Visits by day
-- display: line
-- description: Days in the time zone of each site.
SELECT day, sum(visitors) AS visitors, sum(visits) AS visits, sum(hits) AS hits
FROM daily_totals
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]] [[AND site = {{site}}]]
GROUP BY day
ORDER BY day
