//! A ClickHouse server for tests: the engine's process, with a configuration that lets everybody on
//! this machine in. It drops no partition with rows, unless the statement asks for it: any partition
//! could be over a server's limit.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const USERS: &str = "<clickhouse><profiles><default>\
    <max_memory_usage>536870912</max_memory_usage><implicit_select>0</implicit_select>\
    <max_partition_size_to_drop>1</max_partition_size_to_drop>\
    </default></profiles><users><default><no_password/><networks><ip>127.0.0.1</ip></networks>\
    <profile>default</profile><quota>default</quota></default>\
    <reader><no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>\
    <grants><query>GRANT SELECT ON *.*</query></grants></reader></users><quotas><default></default></quotas></clickhouse>";

/// Starts it with more variables in its environment, and waits until it listens. It runs until the
/// child's standard input is closed.
pub fn start(dir: &Path, address: SocketAddr, variables: &[(&str, PathBuf)]) -> Child {
    let library = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("node_modules/@chdb/lib-linux-x64-gnu/libchdb.so");
    let config = format!(
        "<clickhouse><logger><level>none</level></logger><timezone>UTC</timezone>\
         <user_directories><users_xml><path>{{users}}</path></users_xml></user_directories>\
         <listen_host>{}</listen_host><http_port>{}</http_port><max_server_memory_usage>1073741824</max_server_memory_usage>\
         <max_partition_size_to_drop>1</max_partition_size_to_drop><background_pool_size>2</background_pool_size><mark_cache_size>67108864</mark_cache_size>\
         <backups><allowed_path>{}</allowed_path></backups></clickhouse>",
        address.ip(),
        address.port(),
        dir.with_file_name("backups").display()
    );
    let plan =
        serde_json::json!({"library": library, "dir": dir, "config": config, "users": USERS});

    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    command
        .arg("engine")
        .envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = spawn_for_good(command);
    let stdin = child.stdin.as_mut().expect("a piped input");
    std::io::Write::write_all(stdin, format!("{plan}\n").as_bytes()).expect("the plan is read");

    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        let ended = child.try_wait().expect("a child to ask");
        assert!(
            ended.is_none(),
            "the engine did not start ({ended:?}): is libchdb installed? (make test does)"
        );
        assert!(Instant::now() < deadline, "the engine does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// The process ends with the thread that starts it (`PR_SET_PDEATHSIG`), and a test's thread ends
/// before the last test.
fn spawn_for_good(mut command: Command) -> Child {
    let (sender, child) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(command.spawn());
        loop {
            std::thread::park();
        }
    });
    child
        .recv()
        .expect("a thread to start it")
        .expect("the engine's process starts")
}
