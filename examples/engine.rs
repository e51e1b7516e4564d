//! Plays "the server" in the store's tests: the engine's HTTP interface on a loopback port, its address on stdout.
//! Ends with its stdin, so that no test leaves one behind, on an interrupt, and at once where its stdin says `exit`.

use std::path::PathBuf;

use footfall::store::engine::{Access, EngineOptions, Limits, Token, serve_alone};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &'static str| arguments.next().ok_or_else(|| anyhow::anyhow!("missing {name}"));
    let (data_dir, library) = (PathBuf::from(next("DIR")?), PathBuf::from(next("LIBRARY")?));
    let access = match next("TOKEN").ok().as_deref().and_then(Token::new) {
        Some(token) => Access::ReadOnly(token),
        None => Access::Full,
    };
    let options = EngineOptions { library, data_dir, limits: Limits::default() };
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_ok_and(|line| line == "exit") {
                std::process::exit(3);
            }
        }
        ended.send(())
    });
    tokio::select! {
        served = serve_alone(options, "127.0.0.1:0".parse()?, access) => served?,
        _ = end => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
