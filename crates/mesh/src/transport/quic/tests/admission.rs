//! Who is refused on a new, a resumed and a live connection, by authority, token and denial.

use std::path::PathBuf;

use knhk_mesh_core::admission::{Denial, NEVER, Token};
use knhk_mesh_core::config::Admission;
use knhk_mesh_core::time::WallMs;

use super::*;
use crate::admission::certificates::Authority;
use crate::admission::{AdmissionError, Credentials};
use crate::clock::WallClock;

const NOW: WallMs = WallMs(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn after(time: Duration) -> WallMs {
    WallMs(NOW.0 + time.as_millis() as u64)
}

fn settings_at(secret: u8, clock: &WallClock) -> Settings {
    let (admission_key, clock) = (Some(node(OPERATOR)), clock.clone());
    Settings { admission_key, clock, ..settings(secret) }
}

/// A folder with an authority's root and certificates for an hour.
struct Operator {
    folder: Folder,
    authority: Authority,
}

impl Operator {
    fn new(name: &str) -> Self {
        Self::with_key(name, OPERATOR)
    }

    fn with_key(name: &str, secret: u8) -> Self {
        let folder = folder(name);
        let authority = Authority::create(pair(secret), "test", NOW, 1_000 * HOUR).unwrap();
        std::fs::write(folder.0.join("ca.crt"), authority.pem()).unwrap();
        Operator { folder, authority }
    }

    fn issue(&self, mesh: MeshId, secret: u8, from: WallMs) -> PathBuf {
        let path = self.folder.0.join(format!("{secret}.crt"));
        let pem = self.authority.issue(&mesh, &node(secret), from, HOUR).unwrap();
        std::fs::write(&path, pem).unwrap();
        path
    }

    fn settings(&self, secret: u8, clock: &WallClock) -> Settings {
        let certificate = self.issue(MESH, secret, NOW);
        let credentials =
            Credentials::Certificate { roots: self.folder.0.join("ca.crt"), certificate };
        Settings { credentials, admission: Admission::Proven, ..settings_at(secret, clock) }
    }
}

/// Links, hears something behind the ticket, and parts.
async fn acquaint(a: &mut Node, b: &mut Node) {
    let [at_a, at_b] = linked(a, b).await;
    at_b.send(Lane::Delta, "after the ticket".into()).unwrap();
    assert!(matches!(next(&mut a.1).await, Event::Batch { .. }));
    at_a.close(Close::Leaving);
    down(&mut a.1).await;
    down(&mut b.1).await;
}

async fn not_admitted(a: &mut Node, b: &Node) {
    a.0.dial(target(&b.0));
    let why = refused(&mut a.1).await;
    assert!(matches!(why, DialError::NotAdmitted | DialError::Handshake(_)), "{why}");
    assert!(b.1.is_empty() && a.1.is_empty());
}

#[tokio::test]
async fn an_authority_admits_its_members_and_nobody_else() {
    let clock = WallClock::manual(NOW);
    let (ours, theirs) = (Operator::new("ca-ours"), Operator::with_key("ca-theirs", 201));
    let mut members = [1, 2].map(|secret| bound_with(ours.settings(secret, &clock)));
    let [a, b] = &mut members;
    linked(a, b).await;
    let mut of_others = bound_with(theirs.settings(3, &clock));
    let mut by_itself = bound_with(settings_at(4, &clock));
    for stranger in [&mut of_others, &mut by_itself] {
        not_admitted(stranger, a).await;
        not_admitted(a, stranger).await;
    }
}

#[tokio::test]
async fn a_certificate_for_another_mesh_or_another_node_admits_nobody_here() {
    let clock = WallClock::manual(NOW);
    let operator = Operator::new("ca-mesh");
    let bind = |settings| Quic::bind(settings, channel(1).0).err();
    let settings = operator.settings(1, &clock);
    operator.issue(MeshId([6; 32]), 1, NOW);
    let refused = bind(settings.clone()).unwrap();
    assert!(refused.to_string().contains("for this mesh"), "{refused}");
    std::fs::copy(operator.issue(MESH, 2, NOW), operator.folder.0.join("1.crt")).unwrap();
    assert!(bind(settings.clone()).is_some());
    operator.issue(MESH, 1, NOW);
    assert!(bind(settings).is_none());
}

#[tokio::test]
async fn two_meshes_under_one_authority_never_mix() {
    let clock = WallClock::manual(NOW);
    let operator = Operator::new("ca-two");
    let mut here = bound_with(operator.settings(1, &clock));
    let mesh = MeshId([6; 32]);
    let certificate = operator.issue(mesh, 2, NOW);
    let roots = operator.folder.0.join("ca.crt");
    let credentials = Credentials::Certificate { roots, certificate };
    let settings = operator.settings(3, &clock);
    let settings = Settings { keypair: Arc::new(pair(2)), mesh, credentials, ..settings };
    let mut there = bound_with(settings);
    here.0.dial(target(&there.0));
    assert_eq!(refused(&mut here.1).await, DialError::OtherMesh);
    there.0.dial(target(&here.0));
    assert_eq!(refused(&mut there.1).await, DialError::OtherMesh);
    assert!(here.1.is_empty() && there.1.is_empty());
}

#[tokio::test]
async fn an_expired_certificate_ends_live_links_and_opens_no_new_or_resumed_ones() {
    let clock = WallClock::manual(NOW);
    let operator = Operator::new("ca-expiry");
    let mut a = bound_with(operator.settings(1, &clock));
    let mut b = bound_with(operator.settings(2, &clock));
    acquaint(&mut a, &mut b).await;
    // The certificate of a goes on, that of b ends.
    operator.issue(MESH, 1, after(HOUR / 2));
    a.0.reload().unwrap();
    acquaint(&mut b, &mut a).await;
    acquaint(&mut a, &mut b).await;
    linked(&mut a, &mut b).await;
    clock.set(after(HOUR + Duration::from_secs(2)));
    assert_eq!(down(&mut a.1).await, Down::Here(Close::Expired));
    assert!(matches!(down(&mut b.1).await, Down::There(Some(Close::Expired)) | Down::Here(_)));
    not_admitted(&mut b, &a).await;
    not_admitted(&mut b, &a).await;
    not_admitted(&mut a, &b).await;
    // A new certificate, and all is well without a restart.
    operator.issue(MESH, 2, clock.now());
    b.0.reload().unwrap();
    linked(&mut b, &mut a).await;
}

#[tokio::test]
async fn a_resumed_session_is_judged_again() {
    // What TLS verified an hour ago, it does not look at now: only the second look finds it.
    let clock = WallClock::manual(NOW);
    let operator = Operator::new("ca-resumed");
    let mut a = bound_with(operator.settings(1, &clock));
    let mut b = bound_with(operator.settings(2, &clock));
    acquaint(&mut a, &mut b).await;
    clock.set(after(HOUR + Duration::from_secs(2)));
    let config = a.0.shared.client.clone();
    let name = server_name(Some(node(2)));
    let _free = a.0.shared.ledger.free(b.0.local_addr(), true);
    let connecting = a.0.shared.endpoint.connect_with(config, b.0.local_addr(), &name).unwrap();
    let (connection, accepted) = connecting.into_0rtt().expect("a session to resume");
    let hello = batch::encode(Lane::Digest, &[], false);
    stream_of(&connection, &hello).await;
    accepted.await;
    let closed = timeout(Duration::from_secs(20), connection.closed()).await.unwrap();
    let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed}") };
    assert_eq!(close.error_code, code(Close::Denied));
    assert!(b.1.is_empty());
    assert_eq!(b.0.counters().refused(Refusal::NotAdmitted), 1);
}

#[tokio::test]
async fn a_renewed_certificate_and_changed_roots_reach_live_links() {
    let clock = WallClock::manual(NOW);
    let (old, new) = (Operator::new("ca-old"), Operator::with_key("ca-new", 201));
    let mut a = bound_with(old.settings(1, &clock));
    let mut b = bound_with(old.settings(2, &clock));
    let [at_a, at_b] = linked(&mut a, &mut b).await;
    // Another certificate of the same root: the link does not notice.
    old.issue(MESH, 1, after(HOUR / 4));
    a.0.reload().unwrap();
    a.0.rotate().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((at_a.ended(), at_b.ended()), (None, None));
    // The operator trusts another root instead: whoever is under the old one is out.
    std::fs::write(old.folder.0.join("ca.crt"), new.authority.pem()).unwrap();
    let refused = b.0.reload();
    assert!(refused.is_err(), "its own certificate is not under the new root");
    assert_eq!(down(&mut b.1).await, Down::Here(Close::Denied));
    assert_eq!(down(&mut a.1).await, Down::There(Some(Close::Denied)));
}

#[tokio::test]
async fn a_link_is_dialled_anew_before_its_peer_expires() {
    let clock = WallClock::manual(NOW);
    let operator = Operator::new("ca-renewal");
    let mut a = bound_with(operator.settings(1, &clock));
    let mut b = bound_with(operator.settings(2, &clock));
    let [first, _] = linked(&mut a, &mut b).await;
    for (node, secret) in [(&a, 1), (&b, 2)] {
        operator.issue(MESH, secret, after(HOUR / 2));
        node.0.reload().unwrap();
    }
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    clock.set(after(HOUR * 4 / 5));
    let second = up(&mut a.1).await;
    assert!(second.until() > first.until());
    assert_eq!(down(&mut a.1).await, Down::Here(Close::Duplicate));
    clock.set(after(HOUR * 11 / 10));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(second.ended(), None);
}

fn token(id: u8, redeem_by: WallMs, until: WallMs, bound: Option<u8>) -> Token {
    Token::sign(&pair(OPERATOR), &MESH, [id; 16], redeem_by, until, bound.map(node))
}

fn with_token(secret: u8, token: Option<Token>, clock: &WallClock) -> Settings {
    let credentials = Credentials::Token { token, file: None };
    Settings { credentials, admission: Admission::Proven, ..settings_at(secret, clock) }
}

/// A node whose token is bound to it.
fn founder(secret: u8, clock: &WallClock) -> Settings {
    with_token(secret, Some(token(secret, NEVER, NEVER, Some(secret))), clock)
}

#[tokio::test]
async fn a_token_works_once_also_over_restarts_of_both() {
    let clock = WallClock::manual(NOW);
    let (of_founder, of_joiner) = (folder("token-founder"), folder("token-joiner"));
    let founder = || Settings { folder: Some(of_founder.0.clone()), ..founder(1, &clock) };
    let bearer = token(9, after(HOUR), after(3 * HOUR), None);
    let joiner = |token: Option<Token>| Settings {
        folder: Some(of_joiner.0.clone()),
        ..with_token(2, token, &clock)
    };
    let mut a = bound_with(founder());
    let mut b = bound_with(joiner(Some(bearer.clone())));
    linked(&mut b, &mut a).await;
    let mut thief = bound_with(with_token(3, Some(bearer.clone()), &clock));
    not_admitted(&mut thief, &a).await;
    drop((a, b));
    // Both start again, after the time in which the token could be brought, and without it.
    clock.set(after(HOUR + HOUR / 2));
    let mut a = bound_with(founder());
    let mut b = bound_with(joiner(None));
    linked(&mut b, &mut a).await;
    let late = Quic::bind(with_token(3, Some(bearer.clone()), &clock), channel(1).0).err().unwrap();
    assert!(late.to_string().contains("expired"), "{late}");
    // Also a clock that is behind does not help the thief.
    let behind = WallClock::manual(NOW);
    let mut thief = bound_with(with_token(3, Some(bearer), &behind));
    not_admitted(&mut thief, &a).await;
    // Two members meet that the founder admitted: each shows its pass.
    clock.set(after(HOUR * 2));
    let fresh = token(10, after(3 * HOUR), NEVER, None);
    let mut c = bound_with(with_token(4, Some(fresh), &clock));
    c.0.dial(target(&a.0));
    up(&mut c.1).await;
    linked(&mut c, &mut b).await;
    // The admission of b ends, on its live links and on new ones.
    clock.set(after(3 * HOUR));
    assert_eq!(down(&mut c.1).await, Down::Here(Close::Expired));
    down(&mut b.1).await;
    down(&mut b.1).await;
    not_admitted(&mut b, &c).await;
}

#[tokio::test]
async fn a_token_is_shown_only_to_a_member_that_may_admit() {
    let clock = WallClock::manual(NOW);
    let mut a = bound_with(founder(1, &clock));
    let bearer = |id: u8| Some(token(id, after(HOUR), NEVER, None));
    let mut b = bound_with(with_token(2, bearer(8), &clock));
    linked(&mut b, &mut a).await;
    let mut c = bound_with(with_token(3, bearer(9), &clock));
    c.0.dial(target(&b.0));
    assert_eq!(refused(&mut c.1).await, DialError::CannotAdmit);
    // A stranger that everybody's key opens gets no token either.
    let mut open = bound_with(settings_at(4, &clock));
    c.0.dial(target(&open.0));
    assert_eq!(refused(&mut c.1).await, DialError::NotAdmitted);
    up(&mut open.1).await;
    down(&mut open.1).await;
    not_admitted(&mut open, &a).await;
    c.0.dial(target(&a.0));
    up(&mut c.1).await;
}

#[tokio::test]
async fn a_token_of_another_mesh_or_node_or_key_starts_no_node() {
    let clock = WallClock::manual(NOW);
    let bind = |token| {
        let error = Quic::bind(with_token(2, token, &clock), channel(1).0).err().unwrap();
        assert!(matches!(error, BindError::Admission(_)), "{error}");
        error
    };
    let admits_nobody = bind(None);
    assert!(matches!(admits_nobody, BindError::Admission(AdmissionError::NoToken)));
    bind(Some(token(1, NEVER, NEVER, Some(1))));
    bind(Some(Token::sign(&pair(OPERATOR), &MeshId([6; 32]), [1; 16], NEVER, NEVER, None)));
    bind(Some(Token::sign(&pair(7), &MESH, [1; 16], NEVER, NEVER, None)));
    bind(Some(token(1, NOW, NEVER, None)));
}

#[tokio::test]
async fn a_denied_node_is_refused_on_live_resumed_and_new_connections() {
    let clock = WallClock::manual(NOW);
    let kept = folder("denied");
    let settings = || Settings { folder: Some(kept.0.clone()), ..settings_at(1, &clock) };
    let mut a = bound_with(settings());
    let mut b = bound_with(settings_at(2, &clock));
    acquaint(&mut b, &mut a).await;
    acquaint(&mut a, &mut b).await;
    linked(&mut b, &mut a).await;
    let denial = Denial::sign(&pair(OPERATOR), &MESH, node(2), NOW);
    let forged = Denial::sign(&pair(3), &MESH, node(2), NOW);
    assert!(a.0.shared.local.trust.deny(forged).await.is_err());
    assert_eq!(a.0.shared.local.trust.deny(denial).await.ok(), Some(true));
    assert_eq!(down(&mut a.1).await, Down::Here(Close::Denied));
    assert_eq!(down(&mut b.1).await, Down::There(Some(Close::Denied)));
    not_admitted(&mut b, &a).await;
    not_admitted(&mut b, &a).await;
    not_admitted(&mut a, &b).await;
    drop(a);
    let a = bound_with(settings());
    not_admitted(&mut b, &a).await;
    let mut c = bound_with(settings_at(3, &clock));
    let mut a = a;
    linked(&mut c, &mut a).await;
}

#[tokio::test]
async fn under_pressure_an_address_proves_itself_and_still_gets_its_link() {
    let handshakes = HandshakeLimits { retry_above: 0, ..HandshakeLimits::default() };
    let mut a = bound_with(Settings { handshakes, ..settings(1) });
    let mut b = bound(2);
    linked(&mut b, &mut a).await;
    acquaint(&mut bound(3), &mut a).await;
}
