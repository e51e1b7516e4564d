-- name: Totals
-- display: table
-- description: Exact counts. Someone who comes on two days is two visitor-days.
SELECT
    sum(t.visitors) AS visitor_days,
    sum(t.visits) AS visits,
    sum(t.hits) AS hits,
    round(sum(t.bounces) / greatest(sum(t.visits), 1) * 100, 1) AS bounce_percent,
    round(sum(t.seconds) / greatest(sum(t.visits), 1)) AS seconds_per_visit
FROM daily_totals AS t
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]] [[AND site = {{site}}]]
