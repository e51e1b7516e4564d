//! The configuration that the engine's process gets for this start.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EngineLimits;

/// The only user that may run statements.
pub(super) const ENGINE_USER: &str = "collector";

/// Placeholder in the configuration for the path of the users' file, which only the engine's
/// process knows.
pub(super) const USERS_FILE_PLACEHOLDER: &str = "{users}";

/// One line of JSON on the standard input of `footfall engine`. The engine runs until that input
/// ends.
///
/// ```json
/// {"library": "/opt/libchdb.so", "dir": "/var/lib/footfall/store", "config": "<clickhouse>…", "users": "<clickhouse>…"}
/// ```
#[derive(Serialize, Deserialize)]
pub(super) struct LaunchConfig {
    pub library: PathBuf,
    pub dir: PathBuf,
    /// ClickHouse's configuration in XML, with [`USERS_FILE_PLACEHOLDER`] for the path of `users`.
    pub config: String,
    /// Profiles, users and quotas in XML. It contains digests of passwords only.
    pub users: String,
}

impl LaunchConfig {
    pub(super) fn new(
        dir: &Path,
        library: &Path,
        limits: &EngineLimits,
        port: u16,
        password: &str,
    ) -> LaunchConfig {
        LaunchConfig {
            library: library.to_owned(),
            dir: dir.to_owned(),
            config: render_server_config(limits, port),
            users: render_users_config(limits, password),
        }
    }
}

/// Statements beyond the limit wait instead of failing; one is always running, the one that waits
/// for the end of the input.
///
/// clickhouse-local itself is the user `default` and cannot be given a password. So the port
/// accepts only requests that name the collector's user, and ClickHouse rejects a request that
/// names two.
fn render_server_config(limits: &EngineLimits, port: u16) -> String {
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
</http_handlers>
<timezone>UTC</timezone>
<max_server_memory_usage>{memory}</max_server_memory_usage>
<mark_cache_size>{marks}</mark_cache_size>
<uncompressed_cache_size>0</uncompressed_cache_size>
<background_pool_size>{merges}</background_pool_size>
<max_concurrent_queries>{statements}</max_concurrent_queries>
</clickhouse>
",
        memory = limits.server_memory,
        marks = limits.server_memory / 16,
        merges = limits.background_threads.max(1),
        statements = limits.connections.max(1) + 1,
    )
}

/// clickhouse-local has its own defaults for some settings; the collector's user gets those of a
/// server.
fn render_users_config(limits: &EngineLimits, password: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, password.as_bytes());
    format!(
        "<clickhouse>
<profiles>
<default></default>
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
</profiles>
<users>
<default><no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default>
<{ENGINE_USER}><password_sha256_hex>{digest}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>{ENGINE_USER}</profile><quota>default</quota></{ENGINE_USER}>
</users>
<quotas><default></default></quotas>
</clickhouse>
",
        memory = limits.query_memory,
        seconds = limits.query_seconds,
        threads = limits.threads.max(1),
        wait = u64::from(limits.query_seconds) * 1000,
        digest = crate::hex::encode_lower(digest.as_ref()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_one_line_and_holds_no_password() {
        let password = "0123456789abcdef0123456789abcdef";
        let plan = LaunchConfig::new(
            Path::new("/d"),
            Path::new("/l"),
            &EngineLimits::default(),
            8123,
            password,
        );
        let line = serde_json::to_string(&plan).unwrap();
        assert!(!line.contains('\n') && !line.contains(password), "{line}");
        assert!(
            plan.config.contains("<http_port>8123</http_port>")
                && plan.config.contains(USERS_FILE_PLACEHOLDER)
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
