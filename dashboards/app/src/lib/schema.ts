// Made from docs/openapi.json by tools/schema.mjs: do not edit.
export type Problem = {
  type: string;
  title: string;
  status: number;
  code: ProblemCode;
  detail?: string;
};
export type ProblemCode =
  | "bad_question"
  | "bad_page"
  | "bad_json"
  | "bad_value"
  | "bad_beacon"
  | "bad_body"
  | "bad_clock"
  | "authentication_required"
  | "bad_login"
  | "bad_password"
  | "password_needed"
  | "not_believed"
  | "not_permitted"
  | "bad_csrf"
  | "foreign_page"
  | "not_found"
  | "unknown_site"
  | "unknown_token"
  | "unknown_share"
  | "unknown_message"
  | "no_login"
  | "no_receipt"
  | "method_not_allowed"
  | "body_too_slow"
  | "taken"
  | "share_limit_reached"
  | "not_published"
  | "mail_off"
  | "aggregate_only"
  | "old_version"
  | "choice_changed"
  | "signal"
  | "body_too_large"
  | "encoded_body"
  | "not_json"
  | "template_not_listed"
  | "recipients_own"
  | "bad_lang"
  | "bad_tiers"
  | "necessary"
  | "unknown_tier"
  | "nothing_granted"
  | "bundled"
  | "too_many_tries"
  | "too_many_passwords"
  | "too_many"
  | "too_many_streams"
  | "header_too_large"
  | "unknown_outcome"
  | "store_unavailable"
  | "change_unconfirmed"
  | "stopping"
  | "overloaded"
  | "journal_full"
  | "password_checks_busy"
  | "handover_table_full"
  | "streams_exhausted"
  | "ledger_quota_exceeded"
  | "ledger_unavailable"
  | "signing_unavailable"
  | "publication_failed"
  | "retention_failed";
export type SiteCounters = {
  hits: number;
  visitors: number;
  visits: number;
  bounces: number;
  seconds: number;
  clicks?: number;
};
export type PeopleCounters = { visitors: number; visits: number };
export type ItemCounters = {
  hits: number;
  visitors: number;
  visits: number;
  bounces: number;
  seconds: number;
  exits: number;
  entries: number;
};
export type Step = {
  at: string;
  hits: number;
  visitors: number;
  visits: number;
  bounces: number;
  seconds: number;
  exits?: number;
  entries?: number;
  clicks?: number;
};
export type Item = {
  item: string;
  hits: number;
  visitors: number;
  visits: number;
  bounces: number;
  seconds: number;
  exits: number;
  entries: number;
  compared?: ComparedContent;
};
export type ItemSeen = {
  item: string;
  visitors: number;
  visits: number;
  compared?: ComparedPeople;
};
export type Value = { value: string; visitors: number; visits: number; compared?: ComparedPeople };
export type FewerThan = { fewer_than: number };
export type Items = { hits: number; rows: Item[] } | { rows: ItemSeen[] };
export type Breakdown = { published: number; pending: number; rows: Value[] };
export type Money = {
  event: string;
  currency: string;
  hits: number;
  over: number;
  minor: number;
  digits: number;
};
export type Compared = {
  from: string;
  to: string;
  totals: SiteCounters | ItemCounters | PeopleCounters;
  series?: Step[];
  so_far?: SoFar;
  items: ComparedDays | null;
  values: ComparedDays | null;
};
export type Filter = {
  by: "page" | "link" | "event" | "source" | "country" | "campaign";
  value: string;
};
export type AsOf = { through: string | null; hour: string | null };
export type Report = {
  site: string;
  zone: string;
  from: string;
  to: string;
  k: number;
  filter: Filter | null;
  compared: Compared | null;
  attributes: AsOf;
  totals: SiteCounters | ItemCounters | PeopleCounters;
  interval?: "hour" | "day" | "week" | "month";
  series?: Step[];
  subjects: { [key: string]: Items };
  dimensions: { [key: string]: Breakdown };
  money?: Money[];
  partial?: boolean;
  missing_shards?: number[];
};
export type Speed =
  | FewerThan
  | {
      hits: number;
      good: number;
      needs_improvement: number;
      poor: number;
      p75: number;
      p90: number;
    };
export type Vitals = {
  site: string;
  zone: string;
  from: string;
  to: string;
  k: number;
  path: string | null;
  metrics: { [key: string]: Speed };
  devices: { [key: string]: { [key: string]: Speed } };
  pages: { path: string; metrics: { [key: string]: Speed } }[];
};
export type Fault = { kind: "script" | "not_found"; fault: string; path: string; hits: number };
export type Faults = { site: string; zone: string; from: string; to: string; rows: Fault[] };
export type Live = { visitors: number };
export type Drops = {
  from: string;
  to: string;
  rows: {
    reason: "unknown_site" | "not_a_view" | "gpc" | "dnt" | "no_consent" | "objected" | "limited";
    hits: number;
  }[];
};
export type RankedSites = {
  from: string;
  to: string;
  rows: {
    site: string | null;
    hits: number;
    visitors: number;
    visits: number;
    before: { hits: number; visitors: number; visits: number };
    so_far?: {
      now: { hits: number; visitors: number; visits: number };
      before: { hits: number; visitors: number; visits: number };
    };
  }[];
  partial?: boolean;
  missing_shards?: number[];
};
export type PlatformPages = {
  from: string;
  to: string;
  slow: {
    site: string | null;
    path: string;
    metric: string;
    hits: number;
    good: number;
    needs_improvement: number;
    poor: number;
    p75: number;
    p90: number;
  }[];
  broken: {
    site: string | null;
    kind: "script" | "not_found";
    fault: string;
    path: string;
    hits: number;
  }[];
  partial?: boolean;
  missing_shards?: number[];
};
export type Choices = {
  versions: { version: number; grants: number; refusals: number; withdrawals: number }[];
};
export type Health = {
  version: string;
  started: string;
  store: "embedded" | "server" | "shards";
  store_ready: boolean;
  shards: number;
  shards_away: number[];
  replicas_away: { shard: number; replica: number }[];
  checks: {
    name: "port" | "journal" | "keys" | "store" | "publication" | "retention" | "ledger" | "clock";
    ok: boolean;
    code: string;
    shards?: number[];
  }[];
  clock_ahead_secs: number;
  journal: { bytes: number; max_bytes: number; segments: number; full: boolean; damaged: number };
  flush: {
    segments: number;
    rows: number;
    failures: number;
    quarantined: number;
    overdue_secs: number;
  };
  publication: { units: number; failures: number; last_success_secs: number; overdue_secs: number };
  retention: { failures: number; last_success_secs: number; overdue_secs: number };
  hits: number;
  visitors: number;
  over_limits: number;
};
export type Session = {
  role: "operator" | "creator" | null;
  sites: string[] | null;
  csrf?: string | null;
  login: boolean;
};
export type Login = { user: string; password: string };
export type Share = {
  id: string;
  name: string;
  from: string;
  to: string;
  expires: string | null;
  password: boolean;
  created: string;
  revoked: boolean;
};
export type Shares = { rows: Share[] };
export type NewShare = {
  name?: string;
  from: string;
  to: string;
  expires?: string | null;
  password?: string | null;
};
export type CreatedShare = { id: string; url: string };
export type Token = {
  id: string;
  name: string;
  scopes: ("read" | "manage" | "mail" | "bi")[];
  site: string | null;
  expires: string | null;
  created: string;
  revoked: boolean;
};
export type Tokens = { rows: Token[] };
export type NewToken = {
  name: string;
  scopes: ("read" | "manage" | "mail" | "bi")[];
  site?: string | null;
  expires?: string | null;
};
export type CreatedToken = { id: string; token: string };
export type Audit = { rows: { at: string; actor: string; action: string; target: string }[] };
export type Sites = {
  rows: {
    site: string;
    zone: string;
    hosts: string[];
    aliases: string[];
    alias_count: number;
    embed: string[];
    max_amount: number | null;
    keep_days: number;
  }[];
  next: string | null;
};
export type PutSite = {
  hosts: string[];
  zone: string;
  embed?: string[];
  max_amount?: number | null;
  keep_days?: number | null;
};
export type Alias = { site: string };
export type Unlock = { password: string };
export type Notices = { notices: { id: number }[] };
export type ReaderCounts = { direct: number | null; proxied: number | null; machine: number };
export type MailReport = {
  zone: string;
  from: string;
  to: string;
  k: number;
  k_loads: number;
  templates: {
    template: string;
    opens: ReaderCounts;
    openers: number | null;
    clicks: ReaderCounts;
    click_rate: number | null;
    days: { day: string; opens: ReaderCounts; openers: number | null; clicks: ReaderCounts }[];
    batches: { batch: string; opens: ReaderCounts; openers: number | null; clicks: ReaderCounts }[];
    links: { link: string; clicks: ReaderCounts }[];
  }[];
};
export type SignRequests = {
  mails: {
    template: string;
    consent: boolean;
    batch?: string | null;
    expires?: string | null;
    sent?: string | null;
    links?: { link: string; url: string }[];
  }[];
};
export type SignedMails = {
  mails: {
    template: string;
    batch: string;
    expires: string;
    pixel: string | null;
    html: string | null;
    links: { link: string; url: string }[];
  }[];
};
export type NewMessages = { template: string; consent: true; count?: number };
export type CreatedMessages = { expires: string; messages: { token: string; pixel: string }[] };
export type Message = { template: string; opened: string | null; revoked: boolean };
export type NewVoid = { id: string; from: string; to: string; event: string; currency: string };
export type Void = {
  id: string;
  from: string;
  to: string;
  event: string;
  currency: string;
  hits: number;
  over: number;
  minor: number;
  digits: number;
  at: string;
};
export type Voids = { rows: Void[] };
export type SoFar = {
  until: string | null;
  now?: SiteCounters;
  before?: SiteCounters;
  days: WholeDays | null;
};
export type WholeDays = {
  through: string;
  now: SiteCounters | ItemCounters | PeopleCounters;
  before: SiteCounters | ItemCounters | PeopleCounters;
};
export type ContentCounters = { hits: number; visitors: number; visits: number };
export type ComparedContent = { now: ContentCounters; before: ContentCounters };
export type ComparedPeople = { now: PeopleCounters; before: PeopleCounters };
export type ComparedDays = { from: string; to: string; before_from: string; before_to: string };
export type Retention = {
  today: string;
  keep_days: number;
  sites: { [key: string]: number };
  expired: { table: string; site: string | null; rows: number; oldest: string }[];
  hourly_days: number;
  activity_days: number;
  ageing: { table: "hourly" | "activity"; month: string; rows: number }[];
};
export type Erasure = {
  reference: string;
  rows: { [key: string]: number };
  configured: boolean;
  quarantined: string[];
  backups: string[];
  first_day: string | null;
  backups_read: boolean;
  backup_dir: string;
};
export type Compliance = {
  at: string;
  preset: string;
  retention: {
    keep_days: number;
    sites: { [key: string]: number };
    oldest_day: string | null;
    audit_days: number;
    withdrawal_days: number;
  };
  publication: {
    k: number;
    share_k: number;
    open_lot: number;
    last: string | null;
    overdue_secs: number;
    oldest_unpublished_day: string | null;
    oldest_pending_week: string | null;
  };
  consent: {
    basis: string;
    version: number;
    effective_date: string;
    tiers: string[];
    reprompt: string;
    cookie: string;
    cookie_secs: number;
  };
  signals: { gpc: string; dnt: string; gpc_obeyed: boolean };
  visitors: { mode: string; cookie_secs: number; visit_gap_secs: number };
  journal: { segment_secs: number; attribute_secs: number };
  mail: { enabled: boolean; mode: string; expiry_days: number; message_days: number };
  day_keys: { held: number; overdue: number };
  ledger: {
    records: number;
    grants: number;
    refusals: number;
    withdrawals: number;
    versions: number[];
    kept: string;
  };
};
export type ExportTable =
  | "series"
  | "page"
  | "link"
  | "event"
  | "money"
  | "source"
  | "channel"
  | "campaign"
  | "country"
  | "device"
  | "browser"
  | "os"
  | "language"
  | "vitals"
  | "faults";
