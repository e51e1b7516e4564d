-- The views of the BI port. They are made anew at each start of the engine. In braces: the collector's
-- database, the least id of a marker, and the thresholds of mails.

CREATE OR REPLACE VIEW {db}_bi.sites
(site String COMMENT 'Name of the site')
{owner} AS
SELECT n.name AS site FROM {db}.names AS n WHERE n.site != 0 GROUP BY n.name;

CREATE OR REPLACE VIEW {db}_bi.daily_totals
(
    site String COMMENT 'Name of the site',
    day Date COMMENT 'Day in the time zone of the site',
    hits UInt64 COMMENT 'Page views',
    visitors UInt64 COMMENT 'Visitors of the day. Over several days: visitor-days',
    visits UInt64 COMMENT 'Visits that began on the day',
    bounces UInt64 COMMENT 'Visits with at most one page view and no interaction',
    seconds UInt64 COMMENT 'Sum of the lengths of the visits'
)
{owner} AS
SELECT {site_name} AS site, t.day AS day, t.hits, t.visitors, t.visits, t.bounces, t.seconds FROM
(SELECT site AS id, day, sum(hits) AS hits, sum(visitors) AS visitors, sum(visits) AS visits, sum(bounces) AS bounces,
 sum(seconds) AS seconds FROM
 (SELECT site, day, hits, visitors, visits, bounces, seconds FROM {db}.activity
  WHERE {real_site} AND toStartOfMonth(day) NOT IN (SELECT month FROM {db}.activity_months WHERE site = 0)
  UNION ALL SELECT site, day, hits, visitors, visits, bounces, seconds FROM {db}.daily
  WHERE {real_site} AND subject = 'site' AND toStartOfMonth(day) IN (SELECT month FROM {db}.activity_months WHERE site = 0))
 GROUP BY site, day) AS t {join_names};

CREATE OR REPLACE VIEW {db}_bi.hourly_totals
(
    site String COMMENT 'Name of the site',
    hour DateTime('UTC') COMMENT 'UTC instant at which the hour began',
    hits UInt64 COMMENT 'Page views',
    visitors UInt64 COMMENT 'Visitors whose first hit of the day was in the hour',
    visits UInt64 COMMENT 'Visits that began in the hour',
    bounces UInt64 COMMENT 'Visits with at most one page view and no interaction',
    seconds UInt64 COMMENT 'Sum of the lengths of the visits'
)
{owner} AS
SELECT {site_name} AS site, t.hour AS hour, t.hits, t.visitors, t.visits, t.bounces, t.seconds FROM
(SELECT site AS id, hour, sum(hits) AS hits, sum(visitors) AS visitors, sum(visits) AS visits, sum(bounces) AS bounces,
 sum(seconds) AS seconds FROM {db}.hourly WHERE {real_site} GROUP BY site, hour) AS t {join_names};

CREATE OR REPLACE VIEW {db}_bi.pages
(
    site String COMMENT 'Name of the site',
    day Date COMMENT 'Day in the time zone of the site',
    page String COMMENT 'Path of the page',
    hits UInt64 COMMENT 'Hits on the page',
    visitors UInt64 COMMENT 'Visitors of the page on the day',
    visits UInt64 COMMENT 'Visits with the page',
    bounces UInt64 COMMENT 'Bounces on the page',
    seconds UInt64 COMMENT 'Sum of the times on the page',
    entries UInt64 COMMENT 'Visits that began on the page',
    exits UInt64 COMMENT 'Visits that ended on the page'
)
{owner} AS
SELECT {site_name} AS site, t.day AS day, t.item AS page, t.hits, t.visitors, t.visits, t.bounces, t.seconds, t.entries, t.exits FROM
(SELECT site AS id, day, item, sum(hits) AS hits, sum(visitors) AS visitors, sum(visits) AS visits, sum(bounces) AS bounces,
 sum(seconds) AS seconds, sum(entries) AS entries, sum(exits) AS exits
 FROM {db}.daily WHERE {real_site} AND subject = 'page' GROUP BY site, day, item) AS t {join_names};

CREATE OR REPLACE VIEW {db}_bi.links
(
    site String COMMENT 'Name of the site',
    day Date COMMENT 'Day in the time zone of the site',
    link String COMMENT 'Id or URL of the link',
    clicks UInt64 COMMENT 'Clicks on the link',
    visitors UInt64 COMMENT 'Visitors who clicked it on the day',
    visits UInt64 COMMENT 'Visits with a click on it'
)
{owner} AS
SELECT {site_name} AS site, t.day AS day, t.item AS link, t.hits AS clicks, t.visitors, t.visits FROM
(SELECT site AS id, day, item, sum(hits) AS hits, sum(visitors) AS visitors, sum(visits) AS visits
 FROM {db}.daily WHERE {real_site} AND subject = 'link' GROUP BY site, day, item) AS t {join_names};

CREATE OR REPLACE VIEW {db}_bi.events
(
    site String COMMENT 'Name of the site',
    day Date COMMENT 'Day in the time zone of the site',
    event String COMMENT 'Name of the custom event',
    hits UInt64 COMMENT 'How often it happened',
    visitors UInt64 COMMENT 'Visitors with the event on the day',
    visits UInt64 COMMENT 'Visits with the event'
)
{owner} AS
SELECT {site_name} AS site, t.day AS day, t.item AS event, t.hits, t.visitors, t.visits FROM
(SELECT site AS id, day, item, sum(hits) AS hits, sum(visitors) AS visitors, sum(visits) AS visits
 FROM {db}.daily WHERE {real_site} AND subject = 'event' GROUP BY site, day, item) AS t {join_names};

CREATE OR REPLACE VIEW {db}_bi.published_visitors
(
    site String COMMENT 'Name of the site',
    published_on Date COMMENT 'Day of publication: it may include visitors of earlier days',
    subject String COMMENT 'What they visited: site, page, link or event',
    item String COMMENT 'Path, link or event, empty for the site',
    attribute String COMMENT 'source, channel, campaign, country, device, browser, os or language',
    value String COMMENT 'Value of the attribute, empty for none',
    visitors UInt64 COMMENT 'Published visitors. Over several days: visitor-days',
    visits UInt64 COMMENT 'Published visits'
)
{owner} AS
SELECT {site_name} AS site, t.day AS published_on, t.subject, t.item, t.dim AS attribute, t.value, t.visitors, t.visits FROM
(SELECT id, day, subject, item, dim, value, sum(lot_visitors) AS visitors, sum(lot_visits) AS visits FROM
 (SELECT site AS id, day, toString(subject) AS subject, item, toString(dim) AS dim, toString(value) AS value,
  any(visitors) AS lot_visitors, any(visits) AS lot_visits
  FROM {db}.published WHERE {real_site} GROUP BY site, day, subject, item, dim, value, lot)
 GROUP BY id, day, subject, item, dim, value) AS t {join_names};

CREATE OR REPLACE VIEW {db}_bi.platform_published_visitors
(
    published_on Date COMMENT 'Day of publication: it may include visitors of earlier days',
    attribute String COMMENT 'source, channel, campaign, country, device, browser, os or language',
    value String COMMENT 'Value of the attribute, empty for none',
    visitors UInt64 COMMENT 'Published visitors of all sites together',
    visits UInt64 COMMENT 'Published visits of all sites together'
)
{owner} AS
SELECT day AS published_on, dim AS attribute, value, sum(lot_visitors) AS visitors, sum(lot_visits) AS visits FROM
(SELECT day, toString(dim) AS dim, toString(value) AS value, any(visitors) AS lot_visitors, any(visits) AS lot_visits
 FROM {db}.published WHERE site = 0 AND subject = 'site' GROUP BY day, dim, value, lot)
GROUP BY day, dim, value;

CREATE OR REPLACE VIEW {db}_bi.revenue
(
    site String COMMENT 'Name of the site',
    day Date COMMENT 'Day in the time zone of the site',
    event String COMMENT 'Name of the event that brought it',
    currency String COMMENT 'ISO 4217 code',
    events UInt64 COMMENT 'Events with an amount, without voided ones',
    minor_units Int128 COMMENT 'Sum in the minor unit of the currency, without voided amounts'
)
{owner} AS
SELECT {site_name} AS site, t.day AS day, t.event, t.code AS currency, toUInt64(t.n) AS events, t.m AS minor_units FROM
(SELECT id, day, event, code, greatest(sum(hits), toInt128(0)) AS n, greatest(sum(minor), toInt128(0)) AS m FROM
 (SELECT site AS id, day, toString(event) AS event, toString(currency) AS code, toInt128(hits) AS hits, toInt128(minor) AS minor
  FROM {db}.money WHERE {real_site}
  UNION ALL
  SELECT id, taken.1 AS day, event, taken.2 AS code, -toInt128(taken.3) AS hits, -toInt128(taken.4) AS minor FROM
  (SELECT site AS id, argMax(event, revision) AS event, arrayJoin(argMax(booked, revision)) AS taken
   FROM {db}.money_voids GROUP BY site, money_voids.id))
 WHERE code = upper(code) GROUP BY id, day, event, code HAVING n > 0 OR m > 0) AS t {join_names};

CREATE OR REPLACE VIEW {db}_bi.page_faults
(
    site String COMMENT 'Name of the site',
    day Date COMMENT 'Day in the time zone of the site',
    page String COMMENT 'Path of the page',
    kind String COMMENT 'Kind of the fault',
    fault String COMMENT 'What went wrong',
    hits UInt64 COMMENT 'How often'
)
{owner} AS
SELECT {site_name} AS site, t.day AS day, t.path AS page, t.kind, t.fault, t.hits FROM
(SELECT site AS id, day, path, toString(kind) AS kind, fault, sum(hits) AS hits
 FROM {db}.faults WHERE {real_site} GROUP BY site, day, path, kind, fault) AS t {join_names};

CREATE OR REPLACE VIEW {db}_bi.web_vitals
(
    site String COMMENT 'Name of the site',
    day Date COMMENT 'Day in the time zone of the site',
    page String COMMENT 'Path of the page',
    metric String COMMENT 'Name of the web vital',
    bucket UInt8 COMMENT 'Number of the bucket of the histogram, in the order of the values',
    measurements UInt64 COMMENT 'Measurements in the bucket, of all devices'
)
{owner} AS
SELECT {site_name} AS site, t.day AS day, t.path AS page, t.metric, t.bucket, t.measurements FROM
(SELECT site AS id, day, path, toString(metric) AS metric, bucket, sum(hits) AS measurements
 FROM {db}.vitals WHERE {real_site} GROUP BY site, day, path, metric, bucket) AS t {join_names};

-- As in src/report/mail.rs, with the day for the range: a cell that too few people may have caused is null.
CREATE OR REPLACE VIEW {db}_bi.mails
(
    day Date COMMENT 'Day of the openings and clicks',
    template String COMMENT 'Template of the mail',
    opens_direct Nullable(UInt64) COMMENT 'Openings by programs of people, null where too few people may have caused them',
    opens_proxied Nullable(UInt64) COMMENT 'Openings through an image proxy, null likewise',
    opens_machine UInt64 COMMENT 'Openings by software',
    openers Nullable(UInt64) COMMENT 'Distinct openers, null where opens_direct is, or where they cannot be told apart',
    clicks_direct Nullable(UInt64) COMMENT 'Clicks by programs of people, null likewise',
    clicks_proxied Nullable(UInt64) COMMENT 'Clicks through a proxy, null likewise',
    clicks_machine UInt64 COMMENT 'Clicks by software'
)
{owner} AS
SELECT day, template,
    if(if(people > 0, people * 4, open_direct) >= {k_loads}, open_direct, NULL) AS opens_direct,
    if(open_proxied >= {k_loads}, open_proxied, NULL) AS opens_proxied, open_machine AS opens_machine,
    if(people * 4 >= {k_loads}, people, NULL) AS openers,
    if(click_direct >= {k_loads}, click_direct, NULL) AS clicks_direct,
    if(click_proxied >= {k_loads}, click_proxied, NULL) AS clicks_proxied, click_machine AS clicks_machine
FROM (SELECT day, toString(template) AS template, sum(visitors) AS people,
    sumIf(hits, action = 'open' AND reader = 'direct') AS open_direct,
    sumIf(hits, action = 'open' AND reader = 'proxied') AS open_proxied,
    sumIf(hits, action = 'open' AND reader = 'machine') AS open_machine,
    sumIf(hits, action = 'click' AND reader = 'direct') AS click_direct,
    sumIf(hits, action = 'click' AND reader = 'proxied') AS click_proxied,
    sumIf(hits, action = 'click' AND reader = 'machine') AS click_machine
    FROM {db}.mail WHERE {real_template} GROUP BY day, template);

CREATE OR REPLACE VIEW {db}_bi.dropped_hits
(
    hour DateTime('UTC') COMMENT 'Hour in UTC',
    reason String COMMENT 'Why they were not counted',
    hits UInt64 COMMENT 'How many'
)
{owner} AS
SELECT hour, toString(reason) AS reason, sum(hits) AS hits FROM {db}.drops WHERE {real_reason} GROUP BY hour, reason
