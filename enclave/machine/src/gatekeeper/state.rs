//! What a gatekeeper knows.

use crate::task::TaskId;
use phala_keys::master::{MasterShare, SharingId};
use phala_protocol::{keys::KeyRequest, messages::Payload};
use std::{
	collections::{BTreeMap, VecDeque},
	sync::Arc,
};

/// A share of a master key, and the public result of the ceremony that made it.
pub struct HeldShare {
	pub share: Arc<MasterShare>,
	/// SCALE of the outcome, as it is confirmed to the chain.
	pub outcome: Vec<u8>,
}

/// By epoch and attempt: the one that serves, and those of which one is about to. They stand beside
/// the machine, not in it: nothing could make them again when it is rebuilt.
pub type Shares = BTreeMap<SharingId, HeldShare>;

/// What a gatekeeper does.
#[derive(Default)]
pub struct Gatekeeper {
	/// Confirmations that the outbox did not take yet.
	pub unconfirmed: VecDeque<Payload>,
	/// Admitted requests that wait for a recent view or for a key that serves.
	pub waiting: VecDeque<KeyRequest>,
	/// Requests that are being answered.
	pub releasing: BTreeMap<TaskId, KeyRequest>,
	/// Releases that the outbox did not take yet.
	pub released: VecDeque<(KeyRequest, Vec<u8>)>,
}
