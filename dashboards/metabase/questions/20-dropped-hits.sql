-- name: Dropped hits
-- display: bar
-- description: Of all sites together, by reason.
SELECT reason, sum(hits) AS hits
FROM dropped_hits
WHERE 1 = 1 [[AND toDate(hour) >= {{from}}]] [[AND toDate(hour) <= {{to}}]]
GROUP BY reason
ORDER BY hits DESC, reason
