-- name: Links
-- display: table
-- description: Clicks on links, by id or URL.
SELECT site, link, sum(clicks) AS clicks, sum(visitors) AS visitors, sum(visits) AS visits
FROM links
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]] [[AND site = {{site}}]]
GROUP BY site, link
ORDER BY clicks DESC, site, link
LIMIT 200
