-- name: Revenue
-- display: table
-- description: In the minor unit of the currency, without what was voided.
SELECT site, event, currency, sum(events) AS events, sum(minor_units) AS minor_units
FROM revenue
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]] [[AND site = {{site}}]]
GROUP BY site, event, currency
ORDER BY minor_units DESC, site, event
LIMIT 200
