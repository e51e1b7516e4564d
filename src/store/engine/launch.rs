//! The configuration that the engine's process gets for this start.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{EngineLimits, EngineOptions};

/// The only user that may run statements.
pub(super) const ENGINE_USER: &str = "collector";

/// Placeholder in the configuration for the path of the users' file, which only the engine's
/// process knows.
pub(super) const USERS_FILE_PLACEHOLDER: &str = "{users}";

/// Lets the users of the BI port in. A request without a user is rejected: it would be `default`.
const BI_RULE: &str = "<rule><headers><X-ClickHouse-User>regex:bi_[0-9]+</X-ClickHouse-User></headers><handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler></rule>\n";

/// One line of JSON on the standard input of `footfall engine`. The engine runs until that input
/// ends.
///
/// ```json
/// {"library": "/opt/libchdb.so", "dir": "/var/lib/footfall/store", "config": "<clickhouse>…", "users": "<clickhouse>…"}
/// ```
#[derive(Serialize, Deserialize)]
pub(super) struct LaunchConfig {
    /// Path of libchdb.
    pub library: PathBuf,
    /// The data directory.
    pub dir: PathBuf,
    /// ClickHouse's configuration in XML, with [`USERS_FILE_PLACEHOLDER`] for the path of `users`.
    pub config: String,
    /// Profiles, users and quotas in XML. It contains digests of passwords only.
    pub users: String,
}

/// Port and passwords of this start.
pub(super) struct Login<'a> {
    /// The port on 127.0.0.1.
    pub http_port: u16,
    /// Of the collector's user.
    pub password: &'a str,
    /// Of the users of the BI port.
    pub bi_password: &'a str,
}

impl LaunchConfig {
    pub(super) fn new(dir: &Path, options: &EngineOptions, login: &Login<'_>) -> LaunchConfig {
        let backups = options.backup_dir.as_deref();
        LaunchConfig {
            library: options.library.clone(),
            dir: dir.to_owned(),
            config: render_server_config(&options.limits, login, backups),
            users: render_users_config(&options.limits, login),
        }
    }
}

/// The folder that BACKUP and RESTORE may use. A relative name in a statement is below it, so that
/// a folder of backups can be moved as a whole.
fn render_backups(dir: Option<&Path>) -> String {
    let Some(dir) = dir else {
        return String::new();
    };
    let path = dir.display().to_string();
    let path = path.replace('&', "&amp;").replace('<', "&lt;");
    format!("<backups><allowed_path>{path}</allowed_path></backups>\n")
}

/// Statements beyond the limit wait instead of failing; one is always running, the one that waits
/// for the end of the input.
///
/// clickhouse-local itself is the user `default` and cannot be given a password. So the port
/// accepts only requests that name the collector's user or one of the BI port, and ClickHouse
/// rejects a request that names two. The native protocol has no such rule, so its port is not
/// opened.
fn render_server_config(
    limits: &EngineLimits,
    login: &Login<'_>,
    backups: Option<&Path>,
) -> String {
    let (bi_rule, bi_queries) = match &limits.bi_users {
        // Beyond the number at which none of the others begins, there is room for the collector.
        Some(bi) => (BI_RULE, bi.all_queries(limits.connections)),
        None => ("", 0),
    };
    format!(
        "<clickhouse>
<logger><level>none</level></logger>
<user_directories><users_xml><path>{USERS_FILE_PLACEHOLDER}</path></users_xml></user_directories>
<listen_host>127.0.0.1</listen_host>
<listen_reuse_port>1</listen_reuse_port>
<http_port>{port}</http_port>
<http_handlers>
<rule><methods>GET</methods><url>/ping</url><handler><type>ping</type></handler></rule>
<rule><headers><X-ClickHouse-User>{ENGINE_USER}</X-ClickHouse-User></headers><handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler></rule>
{bi_rule}</http_handlers>
{backups}<timezone>UTC</timezone>
<max_server_memory_usage>{memory}</max_server_memory_usage>
<mark_cache_size>{marks}</mark_cache_size>
<uncompressed_cache_size>0</uncompressed_cache_size>
<background_pool_size>{merges}</background_pool_size>
<max_concurrent_queries>{statements}</max_concurrent_queries>
</clickhouse>
",
        backups = render_backups(backups),
        memory = limits.server_memory,
        marks = limits.server_memory / 16,
        merges = limits.background_threads.max(1),
        port = login.http_port,
        statements = limits.connections.max(1) + 1 + bi_queries,
    )
}

/// clickhouse-local has its own defaults for some settings; the collector's user gets those of a
/// server.
fn render_users_config(limits: &EngineLimits, login: &Login<'_>) -> String {
    let (bi_profile, bi_users) = match &limits.bi_users {
        Some(bi) => (
            bi.render_profile(limits.threads, limits.connections),
            bi.render_users(
                &sha256_hex(login.bi_password),
                &sha256_hex(&super::generate_password()),
            ),
        ),
        None => Default::default(),
    };
    format!(
        "<clickhouse>
<profiles>
<default></default>
<startup>
<max_concurrent_queries_for_user>1</max_concurrent_queries_for_user>
<constraints><max_concurrent_queries_for_user><readonly/></max_concurrent_queries_for_user></constraints>
</startup>
<{ENGINE_USER}>
<max_memory_usage>{memory}</max_memory_usage>
<max_execution_time>{seconds}</max_execution_time>
<max_threads>{threads}</max_threads>
<queue_max_wait_ms>{wait}</queue_max_wait_ms>
<async_insert>0</async_insert>
<cancel_http_readonly_queries_on_client_close>1</cancel_http_readonly_queries_on_client_close>
<implicit_select>0</implicit_select>
<allow_introspection_functions>0</allow_introspection_functions>
<storage_file_read_method>pread</storage_file_read_method>
</{ENGINE_USER}>
{bi_profile}</profiles>
<users>
<default><no_password/><networks><ip>127.0.0.1</ip></networks><profile>startup</profile><quota>default</quota><grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT READ ON FILE</query><query>GRANT CREATE TEMPORARY TABLE ON *.*</query></grants></default>
<{ENGINE_USER}><password_sha256_hex>{digest}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>{ENGINE_USER}</profile><quota>default</quota></{ENGINE_USER}>
{bi_users}</users>
<quotas><default></default></quotas>
</clickhouse>
",
        memory = limits.query_memory,
        seconds = limits.query_seconds,
        threads = limits.threads.max(1),
        wait = u64::from(limits.query_seconds) * 1000,
        digest = sha256_hex(login.password),
    )
}

fn sha256_hex(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    crate::hex::encode_lower(digest.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_one_line_and_holds_no_password() {
        let password = "0123456789abcdef0123456789abcdef";
        let options = EngineOptions {
            program: "/p".into(),
            library: "/l".into(),
            data_dir: "/d".into(),
            backup_dir: Some("/b & <c>".into()),
            unlock_timeout: crate::store::engine::UNLOCK_TIMEOUT,
            limits: EngineLimits::default(),
        };
        let login = Login {
            http_port: 8123,
            password,
            bi_password: "never in the plan",
        };
        let plan = LaunchConfig::new(Path::new("/d"), &options, &login);
        let line = serde_json::to_string(&plan).unwrap();
        assert!(!line.contains('\n') && !line.contains(password), "{line}");
        assert!(
            plan.config.contains("<http_port>8123</http_port>")
                && plan.config.contains(USERS_FILE_PLACEHOLDER)
        );
        assert!(
            plan.config
                .contains("<allowed_path>/b &amp; &lt;c></allowed_path>")
        );
        assert!(
            plan.config
                .contains("<max_concurrent_queries>5</max_concurrent_queries>")
        );
        // printf 0123456789abcdef0123456789abcdef | sha256sum
        assert!(
            plan.users.contains("<password_sha256_hex>3eb1bd439947eb76"),
            "{}",
            plan.users
        );
    }
}
