-- name: Hits by hour
-- display: line
-- description: Hours in UTC.
SELECT hour, sum(hits) AS hits, sum(visits) AS visits
FROM hourly_totals
WHERE 1 = 1 [[AND toDate(hour) >= {{from}}]] [[AND toDate(hour) <= {{to}}]] [[AND site = {{site}}]]
GROUP BY hour
ORDER BY hour
