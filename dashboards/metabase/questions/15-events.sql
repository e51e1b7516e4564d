-- name: Events
-- display: table
-- description: Events that sites name themselves.
SELECT site, event, sum(hits) AS hits, sum(visitors) AS visitors, sum(visits) AS visits
FROM events
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]] [[AND site = {{site}}]]
GROUP BY site, event
ORDER BY hits DESC, site, event
LIMIT 200
