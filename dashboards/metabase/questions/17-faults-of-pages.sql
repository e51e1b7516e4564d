-- name: Faults of pages
-- display: table
-- description: Errors of scripts and pages that were not found.
SELECT site, page, kind, fault, sum(hits) AS hits
FROM page_faults
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]] [[AND site = {{site}}]]
GROUP BY site, page, kind, fault
ORDER BY hits DESC, site, page
LIMIT 200
