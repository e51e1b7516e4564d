-- name: Channels of the platform
-- display: bar
-- description: Of all sites together. More is published of the whole than of its parts.
SELECT if(value = '', '(none)', value) AS channel, sum(visitors) AS visitors, sum(visits) AS visits
FROM platform_published_visitors
WHERE attribute = 'channel' [[AND published_on >= {{from}}]] [[AND published_on <= {{to}}]]
GROUP BY value
ORDER BY visitors DESC, value
