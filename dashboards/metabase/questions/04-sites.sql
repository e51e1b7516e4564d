-- name: Sites
-- display: table
-- description: The 200 with the most visitor-days.
SELECT
    site,
    sum(t.visitors) AS visitors,
    sum(t.visits) AS visits,
    sum(t.hits) AS hits,
    round(sum(t.bounces) / greatest(sum(t.visits), 1) * 100, 1) AS bounce_percent
FROM daily_totals AS t
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]] [[AND site = {{site}}]]
GROUP BY site
ORDER BY visitors DESC, site
LIMIT 200
