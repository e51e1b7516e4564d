-- name: Pages
-- display: table
-- description: The 200 with the most visitor-days.
SELECT site, page, sum(visitors) AS visitors, sum(hits) AS hits, sum(entries) AS entries, sum(exits) AS exits
FROM pages
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]] [[AND site = {{site}}]]
GROUP BY site, page
ORDER BY visitors DESC, site, page
LIMIT 200
