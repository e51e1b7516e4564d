-- name: Web vitals
-- display: table
-- description: The number of measurements. Percentiles: the report of the site.
SELECT site, page, metric, sum(measurements) AS measurements
FROM web_vitals
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]] [[AND site = {{site}}]]
GROUP BY site, page, metric
ORDER BY measurements DESC, site, page, metric
LIMIT 200
