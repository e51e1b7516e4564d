-- name: Browsers
-- display: bar
-- description: Published visitors, by the day of publication. Values that too few visitors have are not shown yet.
SELECT if(value = '', '(none)', value) AS browser, sum(visitors) AS visitors, sum(visits) AS visits
FROM published_visitors
WHERE subject = 'site' AND attribute = 'browser' [[AND published_on >= {{from}}]] [[AND published_on <= {{to}}]] [[AND site = {{site}}]]
GROUP BY value
ORDER BY visitors DESC, value
LIMIT 100
