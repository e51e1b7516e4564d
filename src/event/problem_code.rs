//! The codes of error responses, in one table. docs/openapi.json and docs/use/API.md repeat it; a
//! test compares them.

/// Defines the codes and their table. The text after `when` is the description of the cause.
macro_rules! problem_codes {
    ($($Variant:ident = $status:literal $name:literal, $title:literal, when $when:literal;)+) => {
        /// The cause of an error response. Each cause has one code, and each code has one status
        /// and one title.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum ProblemCode {
            $(#[doc = $when]
            $Variant,)+
        }

        impl ProblemCode {
            /// All codes, by ascending status.
            pub const ALL: &[ProblemCode] = &[$(ProblemCode::$Variant,)+];

            /// The code, as it is in responses.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ProblemCode::$Variant => $name,)+
                }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self {
                    $(ProblemCode::$Variant => $status,)+
                }
            }

            /// A short description of the error, for people.
            pub const fn title(self) -> &'static str {
                match self {
                    $(ProblemCode::$Variant => $title,)+
                }
            }

            /// When the code is sent, for the documentation.
            pub const fn when(self) -> &'static str {
                match self {
                    $(ProblemCode::$Variant => $when,)+
                }
            }
        }
    };
}

problem_codes! {
    InvalidQuery = 400 "bad_question", "Invalid query",
        when "a query parameter is unknown or repeated, or its value is not accepted";
    InvalidPage = 400 "bad_page", "Invalid page",
        when "`page` of the visitor's own page is not a path";
    InvalidJson = 400 "bad_json", "The body is not JSON",
        when "the body is not JSON";
    InvalidValue = 400 "bad_value", "A value in the body is not accepted",
        when "a field of the body is missing or unknown, or its value is not accepted";
    InvalidBeacon = 400 "bad_beacon", "Invalid number of hits",
        when "a body has no hit, or more than `limits.hits_per_beacon` of them";
    BrokenBody = 400 "bad_body", "The body is incomplete",
        when "the connection failed before the body was complete, or its transfer encoding is \
            invalid";
    InvalidClock = 400 "bad_clock", "Invalid test time",
        when "with `test.clock`: `X-Footfall-Now` is not a number of milliseconds";
    AuthenticationRequired = 401 "authentication_required", "Authentication required",
        when "the request has no credentials, or invalid ones";
    WrongLogin = 401 "bad_login", "The name or the password is wrong",
        when "a password login failed";
    WrongPassword = 401 "bad_password", "The password is wrong",
        when "the password of a share link is wrong";
    PasswordRequired = 401 "password_needed", "This link needs its password",
        when "a share link with a password was not unlocked in this browser";
    InvalidHandover = 401 "not_believed", "You could not be signed in",
        when "a handover has no token of the platform, or one that is invalid, expired or used \
            before";
    NotPermitted = 403 "not_permitted", "Not permitted",
        when "the caller is authenticated but lacks the permission, or the grant that it requires";
    InvalidCsrf = 403 "bad_csrf", "The change was not sent by a page of this collector",
        when "a change with a session lacks its `csrf`, or comes from another origin";
    ForeignOrigin = 403 "foreign_page", "Consent must be given from the same origin",
        when "a consent choice comes from a page of another origin";
    NotFound = 404 "not_found", "Not found",
        when "there is no such path, or a mail link is not valid";
    UnknownSite = 404 "unknown_site", "No such site",
        when "the site is unknown, or the caller may not see it";
    UnknownToken = 404 "unknown_token", "No such token",
        when "no API token has this id";
    UnknownShare = 404 "unknown_share", "No such share link",
        when "the share link is unknown, revoked or expired";
    UnknownMessage = 404 "unknown_message", "There is no such message, or it is no longer kept",
        when "the message of a mail is unknown or expired";
    NoLogin = 404 "no_login", "There is no password login here",
        when "no password login is configured";
    NoReceipt = 404 "no_receipt", "There is no record of a grant of this browser",
        when "the browser has no grant, or the ledger has no record of it";
    MethodNotAllowed = 405 "method_not_allowed", "Method not allowed",
        when "the path has no such method; `Allow` lists those that it has";
    SlowBody = 408 "body_too_slow", "The body did not arrive in time",
        when "the body did not arrive within `limits.read_timeout_millis`";
    AlreadyTaken = 409 "taken", "This conflicts with another entry",
        when "a name, host or id belongs to another entry, or to the configuration";
    ShareLimitReached = 409 "share_limit_reached",
        "This site has the maximum number of share links",
        when "the site has the maximum number of share links; revoked ones count for a month";
    NotPublished = 409 "not_published", "These days are not published yet",
        when "attributes of the last day of a share link are not published yet";
    MailDisabled = 409 "mail_off", "Mails are not counted here",
        when "`mail.enabled` is false";
    AggregateOnly = 409 "aggregate_only", "Single messages are not tracked here",
        when "`mail.mode` is `aggregate`";
    OutdatedPrompt = 409 "old_version", "The consent prompt has changed",
        when "the choice is about another version of the consent prompt; fetch it again";
    ChangedChoice = 409 "choice_changed", "The choice was changed elsewhere",
        when "the grant of this browser ended while it was changed, such as in another tab; \
            fetch it again";
    OptOutSignal = 409 "signal", "The browser sends an opt-out signal",
        when "consent is granted, but the browser sends an opt-out signal";
    LargeBody = 413 "body_too_large", "The body is too large",
        when "the body exceeds its maximum size";
    EncodedBody = 415 "encoded_body", "Encoded bodies are not accepted",
        when "a hit has a `Content-Encoding`";
    NotJson = 415 "not_json", "The body must be JSON",
        when "the `Content-Type` of a consent choice is not `application/json`";
    UnlistedTemplate = 422 "template_not_listed", "Unknown mail template",
        when "the template of a mail is not in `mail.templates`";
    TooManyMailValues = 422 "recipients_own", "Too many different values for one mail",
        when "the mails of one template and day have more different links, targets or times \
            than allowed";
    UnknownLanguage = 422 "bad_lang", "Unknown language",
        when "the language of a consent choice was not offered";
    InvalidTiers = 422 "bad_tiers", "Invalid tiers",
        when "a grant does not name all optional tiers, or another choice names any";
    NecessaryTier = 422 "necessary", "The necessary tier cannot be turned off",
        when "a consent choice turns off the necessary tier";
    UnknownTier = 422 "unknown_tier", "Unknown tier",
        when "a consent choice names an unknown tier";
    NothingGranted = 422 "nothing_granted", "Nothing is granted",
        when "a grant grants no tier";
    BundledTiers = 422 "bundled", "The tiers are granted together",
        when "`consent.bundled` is true, and only some of the tiers are granted";
    TooManyTokens = 429 "too_many_tries",
        "Too many invalid tokens came from this network; wait a minute",
        when "over `limits.network_invalid_tokens_per_min` or `limits.invalid_tokens_per_min`";
    TooManyPasswords = 429 "too_many_passwords", "Too many passwords were tried; wait a minute",
        when "over `limits.network_logins_per_min` or `limits.user_logins_per_min`";
    TooManyChoices = 429 "too_many",
        "Too many choices came from this network; try again in a minute",
        when "over `limits.network_choices_per_min`";
    TooManyStreams = 429 "too_many_streams", "Too many of your dashboards are open",
        when "over `limits.streams_per_session` or `limits.streams_per_network`";
    LargeHeader = 431 "header_too_large", "The header is too large",
        when "a hit's header is over `limits.headers` or `limits.header_bytes`";
    UnknownOutcome = 500 "unknown_outcome", "It is unknown whether the hit was counted",
        when "the journal's disk, or the collector that counts the hit, failed while it was written; \
            do not send it again";
    StoreUnavailable = 503 "store_unavailable", "The counts cannot be read right now",
        when "the store did not respond in time, so nothing was read or changed; hits are \
            still counted";
    ChangeUnconfirmed = 503 "change_unconfirmed", "It is unknown whether the change was made",
        when "the store, or another collector of the cluster, did not confirm a change in time; \
            check, or send it again";
    Stopping = 503 "stopping", "The collector is stopping",
        when "the collector is shutting down; send the request again";
    QueueFull = 503 "overloaded", "The hit was not counted; send it again",
        when "more hits wait to be written than fit into the queue; nothing was counted";
    JournalFull = 503 "journal_full", "The hit was not counted; send it again",
        when "the journal's disk, or `journal.max_bytes`, is full; nothing was counted";
    PasswordChecksBusy = 503 "password_checks_busy", "Too many passwords are being checked",
        when "too many passwords are being checked at the same time";
    HandoverTableFull = 503 "handover_table_full", "Too many sign-ins in progress",
        when "too many handover tokens were used in the last minutes";
    StreamsExhausted = 503 "streams_exhausted", "Too many dashboards are open",
        when "over `server.max_streams`";
    LedgerQuotaExceeded = 503 "ledger_quota_exceeded",
        "Too many choices in this hour; nothing was changed",
        when "over `ledger.acts_per_hour`; accepted again from the next full hour on. \
            Withdrawals are always accepted";
    LedgerUnavailable = 503 "ledger_unavailable",
        "The consent ledger is unavailable; nothing was changed",
        when "the ledger cannot be read or written; nothing was changed";
    SigningUnavailable = 503 "signing_unavailable", "Nothing can be signed right now",
        when "the file of signed mail values cannot be written, so nothing was signed";
    PublicationFailed = 503 "publication_failed", "Attributes could not be published",
        when "with `test.clock`: `/test/publish` failed";
    RetentionFailed = 503 "retention_failed", "Old counts could not be deleted",
        when "with `test.clock`: `/test/retention` failed";
}
