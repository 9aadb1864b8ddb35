//! Sessions: two nodes whose roots differ for reasons that neither knows find the records that
//! only one of them has.
//!
//! ```text
//!   A                                   B
//!   | step 0  digests of 16 sixteenths  |
//!   |---------------------------------->|  compares with its own
//!   |  step 1  unequal ones, one deeper |  few items: lists them;
//!   |<----------------------------------|  none here: asks; none there: sends
//!   |  ...                              |
//!   |---------------------------------->|  step n: nothing left = the end
//! ```
//!
//! Whatever the other side says, a session ends: at most 8 steps, digests one nibble deeper each
//! step, at most 256 KiB of them, 4 MiB of records, 10 s; one session a link, 8 a node. What did
//! not fit is found by the next one. A step too late for its session begins one there (ADR 0031).
//! When all digests of step 0 agree although the roots differ, somebody chose records whose digests
//! cancel out: the answer recounts under a fresh salt.

use core::time::Duration;

use super::allowance::{Ask, Debts, SESSION};
use super::round::PROBE_EVERY;
use super::{Gossip, Scene};
use crate::crdt::store::EntryIx;
use crate::digest::{Position, Prefix};
use crate::error::Refused;
use crate::frame::Class;
use crate::identity::PeerIx;
use crate::links::Link;
use crate::messages::{Lane, Message, Range, RangeContent, Ranges, Sink};
use crate::telemetry::Event;
use crate::time::Time;

/// Steps of a session, both sides together.
pub const MAX_STEPS: u8 = 8;
/// Bytes of digests and item lists that one side sends in a session.
pub const MAX_DIGEST_BYTES: usize = 256 * 1024;
/// Bytes of records that one side sends in a session.
pub const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// Sessions of a node at a time.
pub const MAX_SESSIONS: usize = 8;
/// Sessions in motion that a node started, or answers: a newcomer would fetch the same records from
/// everybody at once.
const MAX_MOVING: [usize; 2] = [1, 2];
/// Longest life of a session.
pub const MAX_AGE: Duration = Duration::from_secs(10);
/// A session that makes no progress so long is over.
const STALLED: Duration = Duration::from_secs(2);
/// Items of a range that are listed instead of divided.
const LISTED: u32 = 32;
/// From this step on everything is listed: a later list could not be answered any more, and whoever
/// crowds records under one long prefix would hide them from every session.
const LIST_FROM: u8 = MAX_STEPS - 2;

/// The sessions of a node, and what its links owe for them and for other answers.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    running: Vec<Session>,
    pub(super) debts: Debts,
}

#[derive(Debug)]
struct Session {
    peer: PeerIx,
    id: u32,
    /// This node started it.
    mine: bool,
    /// The step that the peer has to send next.
    expects: u8,
    /// Step at which the counting began: 0, or where the salt came in.
    base: u8,
    salt: u64,
    digest_bytes: usize,
    record_bytes: usize,
    sent: u32,
    started: Time,
    progress: Time,
}

impl Session {
    /// A session that begins now.
    fn new(peer: PeerIx, id: u32, mine: bool, now: Time) -> Self {
        Session {
            peer,
            id,
            mine,
            expects: u8::from(mine),
            base: 0,
            salt: 0,
            digest_bytes: 0,
            record_bytes: 0,
            sent: 0,
            started: now,
            progress: now,
        }
    }

    /// Its peer answered just now; one that fell silent stands in nobody's way.
    fn moves(&self, now: Time, interval: Duration) -> bool {
        now.since(self.progress) < 2 * interval
    }

    fn over(&self, now: Time) -> bool {
        now.since(self.started) >= MAX_AGE || now.since(self.progress) >= STALLED
    }
}

impl Sessions {
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.running.iter().map(|s| (s.started + MAX_AGE).min(s.progress + STALLED)).min()
    }

    pub(super) fn expire(&mut self, now: Time) {
        self.running.retain(|s| !s.over(now));
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.running.len()
    }

    /// Whether another session that this node starts (`mine`) or answers would be one too many.
    fn full(&self, mine: bool, now: Time, interval: Duration) -> bool {
        let counted = |s: &&Session| s.mine == mine && s.moves(now, interval);
        let moving = self.running.iter().filter(counted).count();
        moving >= MAX_MOVING[usize::from(!mine)] || self.running.len() >= MAX_SESSIONS
    }

    fn with(&self, peer: PeerIx) -> Option<usize> {
        self.running.iter().position(|s| s.peer == peer)
    }
}

/// What one step says to the peer.
#[derive(Default)]
struct Reply {
    ranges: Vec<Range>,
    send: Vec<EntryIx>,
    bytes: usize,
}

impl Reply {
    /// Adds a range if the message has room for it.
    fn add(&mut self, prefix: Prefix, content: RangeContent) {
        let len = 10
            + match &content {
                RangeContent::Branches(_) => 16 * 20,
                RangeContent::Items { items, .. } => 3 + 16 * items.len(),
            };
        if self.ranges.len() < Ranges::MAX_RANGES && self.bytes + len <= Ranges::MAX_LEN - 64 {
            self.bytes += len;
            self.ranges.push(Range { prefix, content });
        }
    }
}

impl Gossip {
    /// Starts a session with `peer`; false if one runs or too many do, and mostly if the peer is
    /// distrusted: who sends nothing good must not keep the one session in motion busy.
    pub(super) fn start_session<S: Sink>(
        &mut self,
        scene: &mut Scene<'_, S>,
        peer: PeerIx,
    ) -> bool {
        let distrusted = self.links.get(peer).is_some_and(Link::distrusted);
        if distrusted && scene.rng.below(PROBE_EVERY) > 0 {
            return false;
        }
        if !self.grants(peer, Ask::Session, scene.now.mono) {
            return false;
        }
        let sessions = self.sessions.get_or_insert_default();
        sessions.expire(scene.now.mono);
        let full = sessions.full(true, scene.now.mono, scene.settings.interval);
        if full || sessions.with(peer).is_some() {
            return false;
        }
        let id = scene.rng.next_u64() as u32;
        let children = scene.store.children(Prefix::ROOT, 0);
        let content = RangeContent::Branches(Box::new(children));
        let mut reply = Reply::default();
        reply.add(Prefix::ROOT, content);
        let session = Session::new(peer, id, true, scene.now.mono);
        sessions.running.push(Session { digest_bytes: reply.bytes, ..session });
        self.charge(peer, Ask::Session, SESSION, scene.now.mono);
        scene.counters.sessions += 1;
        let (session, ranges) = (id, reply.ranges);
        let first = Ranges { class: Class::Cell, session, step: 0, salt: 0, ranges };
        scene.send(peer, Lane::Bulk, &Message::Ranges(first));
        true
    }

    /// Whether a session is in motion that will tell the peer more than a digest. A peer so late
    /// that its sessions end before it answers is told by digests as well.
    pub(super) fn in_session_with(&self, peer: PeerIx, now: Time, interval: Duration) -> bool {
        let Some(sessions) = &self.sessions else { return false };
        sessions.with(peer).is_some_and(|at| sessions.running[at].moves(now, interval))
    }

    /// One step of the peer.
    ///
    /// # Errors
    /// [`Refused::Session`] if it is out of bounds; the session is over then.
    pub fn on_ranges<S: Sink>(
        &mut self,
        scene: &mut Scene<'_, S>,
        from: PeerIx,
        theirs: &Ranges,
    ) -> Result<(), Refused> {
        let outcome = self.answer(scene, from, theirs);
        self.expire_sessions(scene.now.mono);
        outcome
    }

    fn answer<S: Sink>(
        &mut self,
        scene: &mut Scene<'_, S>,
        from: PeerIx,
        theirs: &Ranges,
    ) -> Result<(), Refused> {
        let Some(at) = self.admit(scene, from, theirs) else { return Ok(()) };
        if theirs.ranges.is_empty() {
            self.end_session(scene, at);
            return Ok(());
        }
        if !in_bounds(&self.sessions.get_or_insert_default().running[at], theirs) {
            self.end_session(scene, at);
            return Err(Refused::Session);
        }
        let mut reply = Reply::default();
        let mut salt = theirs.salt;
        let limit = if theirs.step + 1 >= LIST_FROM { u32::MAX } else { LISTED };
        for range in &theirs.ranges {
            answer_range(scene, salt, limit, range, &mut reply);
        }
        if theirs.step == 0 && reply.ranges.is_empty() && reply.send.is_empty() {
            salt = self.recount(scene, from, &mut reply);
        }
        self.respond(scene, at, theirs, salt, reply);
        Ok(())
    }

    /// The session that the message belongs to; `None` if it is to be passed over.
    fn admit<S: Sink>(
        &mut self,
        scene: &mut Scene<'_, S>,
        from: PeerIx,
        theirs: &Ranges,
    ) -> Option<usize> {
        let now = scene.now.mono;
        let granted = self.grants(from, Ask::Session, now);
        let sessions = self.sessions.get_or_insert_default();
        sessions.expire(now);
        let running = sessions.with(from);
        if theirs.step > 0 {
            let fits = |s: &Session| s.id == theirs.session && s.expects == theirs.step;
            let fitting = running.filter(|&at| fits(&sessions.running[at]));
            return fitting.or_else(|| self.resume(scene, from, theirs));
        }
        if let Some(at) = running {
            // Both started: the greater id goes on, also where the peer is late: two that are would
            // otherwise end each other's. A peer that starts anew gave up its old one.
            let keep_mine = sessions.running[at].mine && sessions.running[at].id > theirs.session;
            if keep_mine {
                return None;
            }
            sessions.running.swap_remove(at);
        }
        if theirs.salt != 0 {
            return None;
        }
        if !granted || sessions.full(false, now, scene.settings.interval) {
            // Told at once, the peer asks somebody else.
            let (class, session, ranges) = (theirs.class, theirs.session, Vec::new());
            let busy = Ranges { class, session, step: 1, salt: 0, ranges };
            scene.send(from, Lane::Bulk, &Message::Ranges(busy));
            return None;
        }
        Some(self.begin(theirs, from, now))
    }

    /// A late step of a session that is over here is as good as the first of another: it says what
    /// the peer has, and costs as much. A peer seconds away is never in time.
    fn resume<S: Sink>(
        &mut self,
        scene: &Scene<'_, S>,
        from: PeerIx,
        theirs: &Ranges,
    ) -> Option<usize> {
        let (now, interval) = (scene.now.mono, scene.settings.interval);
        let says_something = !theirs.ranges.is_empty() && theirs.salt == 0;
        if !says_something || !self.grants(from, Ask::Session, now) {
            return None;
        }
        let sessions = self.sessions.get_or_insert_default();
        let running = sessions.with(from);
        let moves = running.is_some_and(|at| sessions.running[at].moves(now, interval));
        if moves || sessions.full(false, now, interval) {
            return None;
        }
        if let Some(at) = running {
            sessions.running.swap_remove(at);
        }
        Some(self.begin(theirs, from, now))
    }

    /// Begins to answer with this step, which the peer pays for.
    fn begin(&mut self, theirs: &Ranges, from: PeerIx, now: Time) -> usize {
        self.charge(from, Ask::Session, SESSION, now);
        let sessions = self.sessions.get_or_insert_default();
        let session = Session::new(from, theirs.session, false, now);
        sessions.running.push(Session { expects: theirs.step, ..session });
        sessions.running.len() - 1
    }

    /// The tree sees no difference and the roots do: digests of the same records under a salt
    /// that did not exist when they were made.
    fn recount<S: Sink>(
        &mut self,
        scene: &mut Scene<'_, S>,
        peer: PeerIx,
        reply: &mut Reply,
    ) -> u64 {
        let mine = crate::links::tag(self.current_root(scene.store, scene.now.mono).tag());
        let theirs = self.links.get(peer).and_then(|link| link.last_heard());
        if theirs.is_none_or(|tag| tag == mine) {
            return 0;
        }
        let salt = scene.rng.next_u64() | 1;
        let children = scene.store.children(Prefix::ROOT, salt);
        reply.add(Prefix::ROOT, RangeContent::Branches(Box::new(children)));
        salt
    }

    fn respond<S: Sink>(
        &mut self,
        scene: &mut Scene<'_, S>,
        at: usize,
        theirs: &Ranges,
        salt: u64,
        reply: Reply,
    ) {
        let send = self.settled(scene, reply.send);
        let session = &mut self.sessions.get_or_insert_default().running[at];
        let peer = session.peer;
        session.progress = scene.now.mono;
        if salt != session.salt {
            // Counting starts anew with the message that brings the salt: theirs or this one.
            session.base = theirs.step + u8::from(theirs.salt != salt);
            session.salt = salt;
        }
        let budget = MAX_RECORD_BYTES - session.record_bytes;
        let repair = scene.store.export(&send, budget);
        session.record_bytes = (session.record_bytes + repair.len).min(MAX_RECORD_BYTES);
        session.sent += scene.send_signed(peer, Lane::Bulk, repair.messages);
        let step = theirs.step + 1;
        let ends = step >= MAX_STEPS || session.digest_bytes + reply.bytes > MAX_DIGEST_BYTES;
        let ranges = if ends { Vec::new() } else { reply.ranges };
        session.digest_bytes += reply.bytes;
        session.expects = step + 1;
        let over = ranges.is_empty();
        let (class, session) = (theirs.class, theirs.session);
        let message = Message::Ranges(Ranges { class, session, step, salt, ranges });
        scene.send(peer, Lane::Bulk, &message);
        if over {
            self.end_session(scene, at);
        }
    }

    fn end_session<S: Sink>(&mut self, scene: &mut Scene<'_, S>, at: usize) {
        let session = self.sessions.get_or_insert_default().running.swap_remove(at);
        if let Some(link) = self.links.get_mut(session.peer) {
            link.forget_unequal();
        }
        let steps = u32::from(session.expects);
        scene.sink.emit(Event::Session { steps, sent: session.sent });
    }

    /// A link ended, and its session with it; what the peer was given counts when it is back.
    pub fn forget_session(&mut self, peer: PeerIx) {
        if let Some(sessions) = &mut self.sessions {
            sessions.running.retain(|s| s.peer != peer);
        }
    }

    pub(super) fn expire_sessions(&mut self, now: Time) {
        if let Some(sessions) = &mut self.sessions {
            sessions.expire(now);
            sessions.debts.expire(now);
        }
        // A node that has none pays for none.
        self.sessions.take_if(|sessions| sessions.running.is_empty() && sessions.debts.is_empty());
    }
}

/// Digests deepen by one nibble a step, the salt is chosen once and by the answering side.
fn in_bounds(session: &Session, theirs: &Ranges) -> bool {
    let fresh_salt = session.mine && theirs.step == 1 && session.salt == 0;
    let base = if fresh_salt && theirs.salt != 0 { theirs.step } else { session.base };
    let salt_ok = theirs.salt == session.salt || fresh_salt;
    let depth = theirs.step - base;
    let deep_enough = |range: &Range| match range.content {
        RangeContent::Branches(_) => range.prefix.depth() == depth,
        RangeContent::Items { .. } => range.prefix.depth() + 1 >= depth,
    };
    theirs.step < MAX_STEPS && salt_ok && theirs.ranges.iter().all(deep_enough)
}

/// Answers one range; children of up to `limit` items are listed.
fn answer_range<S: Sink>(
    scene: &mut Scene<'_, S>,
    salt: u64,
    limit: u32,
    range: &Range,
    reply: &mut Reply,
) {
    match &range.content {
        RangeContent::Branches(theirs) => {
            let mine = scene.store.children(range.prefix, salt);
            for (nibble, (mine, theirs)) in mine.iter().zip(theirs.iter()).enumerate() {
                let child = range.prefix.child(nibble as u8);
                if let Some(child) = child.filter(|_| mine != theirs) {
                    if theirs.count == 0 || mine.count <= limit || is_deepest(child) {
                        list_or_send(scene, child, theirs.count == 0, reply);
                    } else {
                        let children = scene.store.children(child, salt);
                        reply.add(child, RangeContent::Branches(Box::new(children)));
                    }
                }
            }
        }
        RangeContent::Items { answer, items } => {
            answer_items(scene, range.prefix, items, *answer, reply);
        }
    }
}

fn is_deepest(prefix: Prefix) -> bool {
    prefix.depth() == Prefix::MAX_DEPTH
}

/// Lists what is under `prefix`, or sends it if the peer has nothing there.
fn list_or_send<S: Sink>(
    scene: &mut Scene<'_, S>,
    prefix: Prefix,
    nothing_there: bool,
    reply: &mut Reply,
) {
    if nothing_there {
        reply.send.extend(scene.store.items(prefix).into_iter().map(|(_, _, entry)| entry));
    } else {
        reply.add(prefix, RangeContent::Items { answer: true, items: listed(scene, prefix) });
    }
}

fn listed<S: Sink>(scene: &mut Scene<'_, S>, prefix: Prefix) -> Vec<(Position, u64)> {
    let items = scene.store.items(prefix);
    items.into_iter().take(Ranges::MAX_ITEMS).map(|(at, tag, _)| (at, tag)).collect()
}

/// Sends what the peer's list lacks, and answers with the own list if it has what is not here.
fn answer_items<S: Sink>(
    scene: &mut Scene<'_, S>,
    prefix: Prefix,
    theirs: &[(Position, u64)],
    answer: bool,
    reply: &mut Reply,
) {
    let mine = scene.store.items(prefix);
    // A full list may have been cut: nothing is known behind its end.
    let known_to = if theirs.len() == Ranges::MAX_ITEMS { theirs.last().copied() } else { None };
    let lacks = |(at, tag, _): &&(Position, u64, EntryIx)| {
        known_to.is_none_or(|end| (*at, *tag) <= end) && theirs.binary_search(&(*at, *tag)).is_err()
    };
    reply.send.extend(mine.iter().filter(lacks).map(|(_, _, entry)| *entry));
    let has = |item: &(Position, u64)| {
        mine.binary_search_by_key(item, |(at, tag, _)| (*at, *tag)).is_ok()
    };
    if answer && !theirs.iter().all(has) {
        let items = mine.iter().take(Ranges::MAX_ITEMS).map(|(at, tag, _)| (*at, *tag)).collect();
        reply.add(prefix, RangeContent::Items { answer: false, items });
    }
}
