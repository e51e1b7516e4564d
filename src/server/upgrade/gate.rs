//! Lets one process at a time take over, and none once the collector stops.

use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq)]
enum UpgradePhase {
    Possible,
    /// Also after another process has taken over.
    UnderWay,
    /// The collector stops.
    Impossible,
}

/// Whether another process may take over.
pub(in crate::server) struct UpgradeGate(watch::Sender<UpgradePhase>);

impl Default for UpgradeGate {
    fn default() -> UpgradeGate {
        UpgradeGate(watch::Sender::new(UpgradePhase::Possible))
    }
}

impl UpgradeGate {
    /// Begins an upgrade.
    ///
    /// # Errors
    ///
    /// Why none is possible now.
    pub(super) fn begin(&self) -> Result<(), &'static str> {
        let mut refused = Ok(());
        self.0.send_if_modified(|phase| {
            match phase {
                UpgradePhase::Possible => *phase = UpgradePhase::UnderWay,
                UpgradePhase::UnderWay => refused = Err("another upgrade is under way"),
                UpgradePhase::Impossible => refused = Err("the collector is stopping"),
            }
            refused.is_ok()
        });
        refused
    }

    /// The upgrade failed; this process continues.
    pub(super) fn end(&self) {
        self.0.send_replace(UpgradePhase::Possible);
    }

    /// Allows no further upgrade. Waits for the end of one that is under way, and for ever if its
    /// process has taken over.
    pub(in crate::server) async fn close(&self) {
        let mut phases = self.0.subscribe();
        loop {
            let is_closed = self.0.send_if_modified(|phase| {
                let is_open = *phase == UpgradePhase::Possible;
                if is_open {
                    *phase = UpgradePhase::Impossible;
                }
                is_open
            });
            if is_closed {
                return;
            }
            let decided = phases.wait_for(|phase| *phase != UpgradePhase::UnderWay);
            if decided
                .await
                .is_ok_and(|phase| *phase == UpgradePhase::Impossible)
            {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_an_upgrade_that_fails_and_allows_none_afterwards() {
        let gate = UpgradeGate::default();
        gate.begin().unwrap();
        assert_eq!(gate.begin(), Err("another upgrade is under way"));
        let ends = async {
            tokio::task::yield_now().await;
            gate.end();
        };
        tokio::join!(gate.close(), ends);
        assert_eq!(gate.begin(), Err("the collector is stopping"));
    }
}
