//! From a configuration to a node that listens.

use knhk_mesh::admission::{Credentials, Token};
use knhk_mesh::config_file::{Effective, NotRunnable};
use knhk_mesh::storage::StoreError;
use knhk_mesh::transport::BindError;
use knhk_mesh::{JoinError, Mesh, Options};

use crate::exit;
use crate::failure::Failure;

/// Holds a token. A file is better: the environment of a process is easier to read.
const TOKEN_VARIABLE: &str = "KNHK_MESH_TOKEN";

pub(crate) fn not_runnable(why: &NotRunnable) -> Failure {
    Failure::new("not_runnable", why, why.help()).ending_with(exit::BAD_CONFIGURATION)
}

/// Joins at the first address that is free.
pub(crate) async fn join(effective: &Effective) -> Result<Mesh, Failure> {
    let mut last = None;
    for bind in effective.bind_candidates() {
        let options = options(effective)?;
        match Mesh::join(Options { bind, ..options }).await {
            Ok(mesh) => return Ok(mesh),
            Err(error) if is_taken(&error) => last = Some(error),
            Err(error) => return Err(not_joined(&error)),
        }
    }
    Err(match last {
        Some(error) => not_joined(&error),
        None => Failure::new("bind", &"there is no address to listen on", "give one with --bind"),
    })
}

/// What a node is started with.
pub(crate) fn options(effective: &Effective) -> Result<Options, Failure> {
    let mut options = effective.options().map_err(|error| {
        let help = "`knhk-mesh keygen` makes one; only its owner may read it";
        Failure::new("identity", &error, help).ending_with(exit::BAD_CONFIGURATION)
    })?;
    if let Credentials::Token { token, .. } = &mut options.credentials
        && let Some(text) = std::env::var_os(TOKEN_VARIABLE).filter(|text| !text.is_empty())
    {
        let read = Token::from_text(&text.to_string_lossy());
        *token = Some(read.map_err(|error| {
            let message = format!("{TOKEN_VARIABLE}: {error}");
            Failure::new("token", &message, "give it whole, as `knhk-mesh ticket` printed it")
                .ending_with(exit::BAD_CONFIGURATION)
        })?);
    }
    Ok(options)
}

pub(crate) fn is_taken(error: &JoinError) -> bool {
    matches!(error, JoinError::Bind(BindError::Socket { source, .. })
        if source.kind() == std::io::ErrorKind::AddrInUse)
}

fn not_joined(error: &JoinError) -> Failure {
    match error {
        JoinError::Bind(BindError::Socket { source, .. })
            if source.kind() == std::io::ErrorKind::AddrInUse =>
        {
            let help = "another program listens there: choose a port with --bind IP:PORT (port 0: \
                        a free one)";
            Failure::new("bind", error, help)
        }
        JoinError::Bind(BindError::Socket { .. }) => {
            Failure::new("bind", error, "give an address of this host: --bind IP:PORT")
        }
        JoinError::Bind(BindError::Admission(_)) => {
            let help = "`knhk-mesh ticket` makes tokens, `knhk-mesh cert issue` certificates; \
                        `genesis` prints the mesh that they have to be for";
            Failure::new("admission", error, help).ending_with(exit::BAD_CONFIGURATION)
        }
        JoinError::Bind(_) => {
            let help = "set mesh.admission and mesh.allowlist, or listen on 127.0.0.1";
            Failure::new("bind", error, help).ending_with(exit::BAD_CONFIGURATION)
        }
        JoinError::NoAddress { .. } => {
            Failure::new("advertise", error, "say where others dial: --advertise IP:PORT")
                .ending_with(exit::BAD_CONFIGURATION)
        }
        JoinError::Config(_) => {
            let help = "`knhk-mesh config show --origin` says where it was set";
            Failure::new("bad_configuration", error, help).ending_with(exit::BAD_CONFIGURATION)
        }
        JoinError::Key(_) => {
            Failure::new("identity", error, "repair the key file of the data folder")
        }
        JoinError::Store(why) => Failure::new("data_dir", error, store_help(why)),
        _ => Failure::new("start", error, "see the message"),
    }
}

fn store_help(why: &StoreError) -> &'static str {
    match why {
        StoreError::InUse { .. } => "stop that node, or give this one its own --data-dir",
        StoreError::Damaged { .. } => {
            "or bring back a backup: move the file away, then knhk-mesh restore FILE --data-dir DIR"
        }
        StoreError::Foreign { .. } => {
            "check --data-dir, --identity and the section `mesh:`: a mesh with other limits or \
             another name is another mesh"
        }
        StoreError::Version { .. } => "nothing was changed",
        _ => "name a folder that this user may write to: --data-dir DIR",
    }
}

/// The seeds as they are followed. `localhost` means the address that nodes listen on by default.
pub(crate) fn contacts(effective: &Effective) -> Vec<String> {
    let seeds = effective.bootstrap.seeds.iter();
    let contact = |seed: &String| match seed.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => seed.clone(),
    };
    seeds.map(contact).collect()
}
