//! Plays "the server" in the store's tests: the engine's HTTP interface on a loopback port, its address on stdout.

use std::path::PathBuf;

use footfall::store::engine::{Access, Engine, EngineOptions, Limits, Token, serve_tcp};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or_else(|| format!("missing {name}"));
    let (data_dir, library) = (PathBuf::from(next("DIR")?), PathBuf::from(next("LIBRARY")?));
    let access = match next("TOKEN").ok().as_deref().and_then(Token::new) {
        Some(token) => Access::ReadOnly(token),
        None => Access::Full,
    };
    let engine = Engine::open(&EngineOptions { library, data_dir, limits: Limits::default() })?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    serve_tcp(engine, listener, access).await?;
    Ok(())
}
