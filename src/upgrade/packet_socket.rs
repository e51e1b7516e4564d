//! A UNIX socket in the journal's folder that keeps the boundaries of messages and carries file
//! descriptors. Both sides check that the other one is a process of the same user.

use std::fs::Permissions;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::io::retry_on_intr;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Bytes of the longest message. They are texts of a few hundred.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// File descriptors of a packet; the kernel takes 253.
pub const MAX_DESCRIPTORS: usize = 128;
/// Time for the other side to take a packet.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The socket in a journal's folder.
fn socket_path(journal_dir: &Path) -> PathBuf {
    journal_dir.join("upgrade.sock")
}

/// One end of a connection.
pub struct PacketSocket(OwnedFd);

/// A message and the file descriptors that accompany it.
pub struct Packet<M> {
    /// The message.
    pub message: M,
    /// The file descriptors, in the order in which they were sent.
    pub descriptors: Vec<OwnedFd>,
}

impl PacketSocket {
    /// Connects to the collector that runs on a journal.
    ///
    /// # Errors
    ///
    /// The folder can be reached by other users, no collector listens in it, or the one that does
    /// is another user's.
    pub fn connect(journal_dir: &Path) -> anyhow::Result<PacketSocket> {
        check_folder(journal_dir)?;
        let path = socket_path(journal_dir);
        let connect = || -> io::Result<PacketSocket> {
            let socket = new_socket()?;
            rustix::net::connect(&socket, &SocketAddrUnix::new(&path)?)?;
            Ok(PacketSocket(socket))
        };
        let socket = connect()
            .with_context(|| format!("{}: no running collector answers here", path.display()))?;
        socket.check_peer()?;
        Ok(socket)
    }

    /// The process at the other end when the connection was made.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub fn peer_process(&self) -> io::Result<i32> {
        Ok(socket_peercred(&self.0)?.pid.as_raw_nonzero().get())
    }

    /// Checks that the other end is a process of this user. The folder keeps other users out
    /// already, except root.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn check_peer(&self) -> io::Result<()> {
        if socket_peercred(&self.0)?.uid == rustix::process::geteuid() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the other process is another user's: run the command as the collector's user",
        ))
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// The other side is gone or takes nothing.
    pub fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        self.send_bytes(&bytes, descriptors)?;
        Ok(())
    }

    /// Sends bytes, such as a key.
    ///
    /// # Errors
    ///
    /// As for [`PacketSocket::send`].
    pub fn send_bytes(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Send, Some(SEND_TIMEOUT))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many file descriptors for a message"));
        }
        retry_on_intr(|| {
            let bytes = [IoSlice::new(bytes)];
            rustix::net::sendmsg(&self.0, &bytes, &mut control, SendFlags::NOSIGNAL)
        })?;
        Ok(())
    }

    /// Waits for a message; `None` if the other side is gone.
    ///
    /// # Errors
    ///
    /// Nothing came in time, or it is not such a message.
    pub fn receive<M: DeserializeOwned>(
        &self,
        patience: Duration,
    ) -> anyhow::Result<Option<Packet<M>>> {
        let mut bytes = Zeroizing::new(vec![0; MAX_MESSAGE_BYTES]);
        let (length, descriptors) = self.receive_bytes(&mut bytes, patience)?;
        if length == 0 {
            return Ok(None);
        }
        let message = serde_json::from_slice(&bytes[..length])
            .context("the other process said something that this build does not know")?;
        Ok(Some(Packet {
            message,
            descriptors,
        }))
    }

    /// Waits for bytes; 0 if the other side is gone.
    ///
    /// # Errors
    ///
    /// Nothing came in time, or the message is longer than `bytes`.
    pub fn receive_bytes(
        &self,
        bytes: &mut [u8],
        patience: Duration,
    ) -> io::Result<(usize, Vec<OwnedFd>)> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(patience))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        // With a timeout, a signal interrupts whatever its handler says.
        let received = retry_on_intr(|| {
            rustix::net::recvmsg(
                &self.0,
                &mut [IoSliceMut::new(bytes)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )
        });
        let received = match received {
            // With bytes unread, the end of the other process looks like this.
            Err(rustix::io::Errno::CONNRESET) => return Ok((0, Vec::new())),
            Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            received => received?,
        };
        if received
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
        {
            return Err(io::Error::other(
                "a message or its file descriptors did not fit (ulimit -n)",
            ));
        }
        let rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        Ok((received.bytes, rights.flatten().collect()))
    }

    /// Waits until the other process is gone, whatever it still says.
    pub fn wait_for_end(&self) {
        let mut rest = [0; 64];
        loop {
            match self.receive_bytes(&mut rest, Duration::from_secs(60)) {
                Ok((0, _)) => return,
                Err(error) if error.kind() != io::ErrorKind::TimedOut => return,
                _ => {}
            }
        }
    }
}

/// Takes connections of successors.
pub struct ControlListener(OwnedFd);

impl ControlListener {
    /// Replaces the socket of the process before: this one holds the journal's lock.
    ///
    /// # Errors
    ///
    /// The socket cannot be created, or the folder can be reached by other users.
    pub fn bind(journal_dir: &Path) -> anyhow::Result<ControlListener> {
        check_folder(journal_dir)?;
        let path = socket_path(journal_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let socket = new_socket()?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path)?)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        rustix::net::listen(&socket, 4)?;
        Ok(ControlListener(socket))
    }

    /// Waits for a connection of a process of this user.
    ///
    /// # Errors
    ///
    /// It cannot be accepted, or the process is another user's.
    pub fn accept(&self) -> io::Result<PacketSocket> {
        let accept = || rustix::net::accept_with(self.0.as_fd(), SocketFlags::CLOEXEC);
        let socket = retry_on_intr(accept)?;
        let socket = PacketSocket(socket);
        socket.check_peer()?;
        Ok(socket)
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// A folder that others can write to could have another process's socket.
fn check_folder(path: &Path) -> anyhow::Result<()> {
    let folder = std::fs::metadata(path).with_context(|| {
        let path = path.display();
        format!("{path}: no collector runs with this journal.dir, which cannot be read")
    })?;
    let is_own = folder.uid() == rustix::process::geteuid().as_raw();
    anyhow::ensure!(
        is_own && folder.mode() & 0o077 == 0,
        "{}: must belong to the collector's user and be closed to others (chmod 0700)",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[test]
    fn messages_arrive_whole_with_their_descriptors_and_the_end_is_told() {
        let dir = folder();
        let listener = ControlListener::bind(dir.path()).unwrap();
        let client = PacketSocket::connect(dir.path()).unwrap();
        let server = listener.accept().unwrap();
        assert_eq!(
            client.peer_process().unwrap(),
            i32::try_from(std::process::id()).unwrap()
        );

        let (passed, kept) = UnixStream::pair().unwrap();
        server.send(&"one", &[passed.as_fd()]).unwrap();
        server.send(&"two", &[]).unwrap();
        drop((server, passed));
        let patience = Duration::from_secs(5);
        let first: Packet<String> = client.receive(patience).unwrap().unwrap();
        assert_eq!((&*first.message, first.descriptors.len()), ("one", 1));
        let mut arrived = UnixStream::from(first.descriptors.into_iter().next().unwrap());
        io::Write::write_all(&mut &kept, b"x").unwrap();
        let mut byte = [0];
        io::Read::read_exact(&mut arrived, &mut byte).unwrap();
        assert_eq!(&byte, b"x");
        let second: Packet<String> = client.receive(patience).unwrap().unwrap();
        assert_eq!((&*second.message, second.descriptors.len()), ("two", 0));
        assert!(client.receive::<String>(patience).unwrap().is_none());
    }

    #[test]
    fn a_silent_peer_is_given_up_and_a_stale_socket_is_no_collector() {
        let dir = folder();
        let listener = ControlListener::bind(dir.path()).unwrap();
        let client = PacketSocket::connect(dir.path()).unwrap();
        assert!(client.receive::<String>(Duration::from_millis(50)).is_err());
        drop(listener);
        let error = PacketSocket::connect(dir.path()).err().unwrap();
        assert!(
            format!("{error:#}").contains("no running collector"),
            "{error:#}"
        );
    }

    #[test]
    fn a_folder_that_others_can_reach_has_no_socket() {
        let dir = folder();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(ControlListener::bind(dir.path()).is_err());
        assert!(PacketSocket::connect(dir.path()).is_err());
        assert!(!socket_path(dir.path()).exists());
    }
}
