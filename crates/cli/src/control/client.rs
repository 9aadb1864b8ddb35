//! The asking end: one connection, one request, one answer or a row of events.

use std::io;
use std::path::Path;

use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::place::{Place, check_private};
use super::protocol::{Answer, MAX_ANSWER, MAX_REQUEST, Request};
use crate::exit;
use crate::failure::Failure;

/// A connection to a node.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

/// What a node said.
#[derive(Debug)]
pub(crate) enum Said {
    Ok(Box<RawValue>),
    Event(Box<RawValue>),
}

impl Client {
    /// Connects to the node at `place`.
    pub(crate) async fn connect(place: &Place) -> Result<Client, Failure> {
        let path = &place.path;
        let folder = path.parent().filter(|folder| folder.exists() && !place.named);
        if let Some(folder) = folder {
            check_private(folder).map_err(Failure::from)?;
        }
        let stream = UnixStream::connect(path).await.map_err(|error| unreachable(path, &error))?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Said, Failure> {
        let mut line = serde_json::to_vec(request).map_err(|error| lost(&error))?;
        if line.len() >= MAX_REQUEST {
            let message = format!("key and value take {} bytes as JSON", line.len());
            let help = format!("a request has at most {MAX_REQUEST}: store it elsewhere");
            return Err(Failure::new("too_large", &message, &help));
        }
        line.push(b'\n');
        let written = self.stream.get_mut().write_all(&line).await;
        // A node that takes no more says why before it hangs up.
        let answer = self.next().await;
        match written {
            Err(error) if answer.is_ok() => Err(lost(&error)),
            _ => answer,
        }
    }

    /// The next line.
    pub(crate) async fn next(&mut self) -> Result<Said, Failure> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_ANSWER as u64);
        limited.read_until(b'\n', &mut line).await.map_err(|error| lost(&error))?;
        if line.is_empty() {
            return Err(lost(&"the node closed the connection"));
        }
        let answer: Answer = serde_json::from_slice(&line).map_err(|error| lost(&error))?;
        match (answer.ok, answer.event, answer.error) {
            (Some(ok), None, None) => Ok(Said::Ok(ok)),
            (None, Some(event), None) => Ok(Said::Event(event)),
            (None, None, Some(fault)) => {
                let failure = Failure::new(fault.code, &fault.message, &fault.help);
                Err(failure.ending_with(fault.exit).with_details(fault.details))
            }
            _ => Err(lost(&"the answer is neither a result nor an error")),
        }
    }
}

fn unreachable(path: &Path, error: &io::Error) -> Failure {
    let at = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let message = format!("the control socket {at} belongs to another user");
            Failure::new("denied", &message, "run the command as the user of the node")
                .ending_with(exit::DENIED)
        }
        io::ErrorKind::InvalidInput => {
            let message = format!("{at} cannot be a socket: {error}");
            Failure::new("usage", &message, "name a shorter path: --control-socket PATH")
                .ending_with(exit::WRONG_USAGE)
        }
        _ => {
            let message = format!("no node answers at {at}: {error}");
            let help = "start one with `knhk-mesh run` or `knhk-mesh dev`, or say where it is: \
                        --control-socket PATH or --data-dir DIR";
            Failure::new("unreachable", &message, help).ending_with(exit::UNREACHABLE)
        }
    }
}

fn lost(why: &dyn std::fmt::Display) -> Failure {
    let message = format!("the node did not answer: {why}");
    let help = "it may have stopped: look into its log, and start it again";
    Failure::new("unreachable", &message, help).ending_with(exit::UNREACHABLE)
}
