//! Classifies an open or a click as a person's, a proxy's or a machine's, by a list of rules of
//! which the first match wins. Address and agent do not leave this module: the result is a class.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::lists::{Files, Lists, ListsError};
use crate::config::Mail as Config;
use crate::event::{Address, Agent, MailAction, Millis, Reader};

/// A load this soon after the batch was sent is not a person's. Milliseconds.
const TOO_SOON: Millis = 10_000;

/// The parts of a request for a pixel or a link that the rules use.
pub struct Load<'a> {
    /// Time of the request.
    pub at: Millis,
    /// Open or click.
    pub action: MailAction,
    /// Client address, behind trusted proxies.
    pub address: &'a Address,
    /// User agent; empty where none was sent.
    pub agent: Agent<'a>,
    /// Any method but GET, such as a HEAD request.
    pub head: bool,
    /// Declares itself a prefetch.
    pub prefetch: bool,
    /// In the list of bots used for page views.
    pub known_bot: bool,
    /// When the batch was sent, if the token says so.
    pub sent: Option<Millis>,
}

/// The classification rules with their lists, which are replaced as a whole when their files
/// change.
pub struct Judge {
    files: Files,
    lists: ArcSwap<Lists>,
}

impl Judge {
    /// Loads the lists that `config` names, or the built-in ones.
    ///
    /// # Errors
    ///
    /// A list file cannot be read or parsed.
    pub fn new(config: &Config) -> Result<Judge, ListsError> {
        let files = Files { agents: config.agents_file.clone(), networks: config.networks_file.clone() };
        let lists = ArcSwap::from_pointee(Lists::load(&files)?);
        Ok(Judge { files, lists })
    }

    /// Reloads the lists if their files changed; `true` if they did.
    ///
    /// # Errors
    ///
    /// A file cannot be read or parsed. The former lists stay in force.
    pub fn reload_if_changed(&self) -> Result<bool, ListsError> {
        let outdated = self.lists.load().is_outdated(&self.files)?;
        if outdated {
            self.lists.store(Arc::new(Lists::load(&self.files)?));
        }
        Ok(outdated)
    }

    /// Dates of the agent and network lists, and the number of address ranges, for the log.
    pub fn dates(&self) -> (String, String, usize) {
        let lists = self.lists.load();
        let (agents, networks, stretches) = lists.dates();
        (agents.to_owned(), networks.to_owned(), stretches)
    }

    /// The class of the request's sender.
    pub fn reader(&self, load: &Load<'_>) -> Reader {
        let lists = self.lists.load();
        let (agents, agent) = (&lists.agents, load.agent.expose());
        let too_soon = load.sent.is_some_and(|sent| load.at < sent + TOO_SOON);
        if load.head || load.prefetch || too_soon || agents.scanners.are_in(agent) {
            return Reader::Machine;
        }
        if agents.proxies.are_in(agent) {
            return Reader::Proxied;
        }
        if agents.bare.iter().any(|bare| bare == agent) {
            return Reader::Machine;
        }
        // People use the same networks through Private Relay, so a browser there is a person, and
        // so is a click.
        let fetched_ahead = load.action == MailAction::Open && !agents.browsers.are_in(agent);
        if fetched_ahead && lists.networks.hold(load.address.expose()) {
            return Reader::Machine;
        }
        // Some mail programs have one-word agents, as programs of machines do.
        if load.known_bot && !agents.programs.are_in(agent) {
            return Reader::Machine;
        }
        Reader::Direct
    }
}
