//! Classifies an open or a click as a person's, a proxy's or a machine's, by a list of rules of
//! which the first match decides. Address and agent do not leave this module: the result is a
//! class.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::reader_lists::{ReaderListPaths, ReaderLists, ReaderListsError};
use crate::calendar::{Millis, TimeSpan};
use crate::config::MailConfig;
use crate::event::{ClientAddress, MailAction, ReaderKind, UserAgent};

/// A load this soon after the batch was sent is not made by a person. Milliseconds.
const TOO_SOON: TimeSpan = TimeSpan::from_secs(10);

/// The parts of a request for a pixel or a link that the rules use.
pub struct ReaderSignals<'a> {
    /// Time of the request.
    pub at: Millis,
    /// Open or click.
    pub action: MailAction,
    /// Client address, behind trusted proxies.
    pub address: &'a ClientAddress,
    /// User agent; empty if none was sent.
    pub agent: UserAgent<'a>,
    /// Any method but GET, such as a HEAD request.
    pub head: bool,
    /// Whether the request declares itself a prefetch.
    pub prefetch: bool,
    /// Whether the agent is in the list of bots used for page views.
    pub known_bot: bool,
    /// When the batch was sent, if the token contains it.
    pub sent: Option<Millis>,
}

/// The classification rules with their lists, which are replaced as a whole when their files
/// change.
pub struct ReaderClassifier {
    paths: ReaderListPaths,
    lists: ArcSwap<ReaderLists>,
}

impl ReaderClassifier {
    /// Loads the lists that `config` names, or the built-in ones.
    ///
    /// # Errors
    ///
    /// A list file cannot be read or parsed.
    pub fn new(config: &MailConfig) -> Result<ReaderClassifier, ReaderListsError> {
        let files = ReaderListPaths {
            agents: config.agents_file.clone(),
            networks: config.networks_file.clone(),
        };
        let lists = ArcSwap::from_pointee(ReaderLists::load(&files)?);
        Ok(ReaderClassifier {
            paths: files,
            lists,
        })
    }

    /// Reloads the lists if their files changed; `true` if they did.
    ///
    /// # Errors
    ///
    /// A file cannot be read or parsed. The former lists stay in force.
    pub fn reload_if_changed(&self) -> Result<bool, ReaderListsError> {
        let outdated = self.lists.load().is_outdated(&self.paths)?;
        if outdated {
            self.lists.store(Arc::new(ReaderLists::load(&self.paths)?));
        }
        Ok(outdated)
    }

    /// Dates of the agent and network lists, and the number of address ranges, for the log.
    pub fn list_dates(&self) -> (String, String, usize) {
        let lists = self.lists.load();
        let (agents, networks, stretches) = lists.list_dates();
        (agents.to_owned(), networks.to_owned(), stretches)
    }

    /// The class of the client that sent the request.
    pub fn classify_reader(&self, load: &ReaderSignals<'_>) -> ReaderKind {
        let lists = self.lists.load();
        let (agents, agent) = (&lists.agents, load.agent.expose());
        let too_soon = load.sent.is_some_and(|sent| load.at < sent + TOO_SOON);
        if load.head || load.prefetch || too_soon || agents.scanners.matches_agent(agent) {
            return ReaderKind::Machine;
        }
        if agents.proxies.matches_agent(agent) {
            return ReaderKind::Proxied;
        }
        if agents.uninformative.iter().any(|bare| bare == agent) {
            return ReaderKind::Machine;
        }
        // People use the same networks through Private Relay, so a browser there is a person, and
        // so is a click.
        let fetched_ahead =
            load.action == MailAction::Open && !agents.browsers.matches_agent(agent);
        if fetched_ahead && lists.networks.contains(load.address.expose()) {
            return ReaderKind::Machine;
        }
        // Some mail programs have one-word agents, like programs of machines.
        if load.known_bot && !agents.programs.matches_agent(agent) {
            return ReaderKind::Machine;
        }
        ReaderKind::Direct
    }
}
