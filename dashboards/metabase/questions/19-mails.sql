-- name: Mails
-- display: table
-- description: Days with too few people are left out of the sums. Openers are counted by day.
SELECT
    template,
    sum(opens_direct) AS opens,
    sum(opens_proxied) AS opens_by_proxy,
    sum(openers) AS openers,
    sum(clicks_direct) AS clicks,
    sum(opens_machine + clicks_machine) AS by_software
FROM mails
WHERE 1 = 1 [[AND day >= {{from}}]] [[AND day <= {{to}}]]
GROUP BY template
ORDER BY template
