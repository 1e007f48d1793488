//! The enclave's side of the mailbox: which channels it follows, and what was said in them.

use crate::{
	client::LightClient, error::LightClientError, header::limit, limits, position::Position,
	state::ProvenState,
};
use phala_protocol::{
	mailbox::{Channel, ChannelHead, OutboundMessage},
	relay::SyncBundle,
	storage_keys, BlockNumber,
};
use std::collections::{btree_map::Entry, vec_deque, BTreeMap, VecDeque};

/// The channels that an enclave follows, each with its head at the enclave's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channels(BTreeMap<Channel, ChannelHead>);

impl Channels {
	/// Where the enclave stands in a channel; `None` when it does not follow it.
	pub fn head(&self, channel: Channel) -> Option<ChannelHead> {
		self.0.get(&channel).copied()
	}

	/// All of them, in the order of [`Channel`].
	pub fn iter(&self) -> impl Iterator<Item = (Channel, ChannelHead)> + '_ {
		self.0.iter().map(|(channel, head)| (*channel, *head))
	}

	pub fn len(&self) -> usize {
		self.0.len()
	}

	pub fn is_empty(&self) -> bool {
		self.0.is_empty()
	}
}

/// What a message makes of the channels that its reader follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelChange {
	/// Follow this channel; `head` is where it stood when the message was pushed.
	Follow { channel: Channel, head: ChannelHead },
	/// Follow it no longer: what comes in it after this message is not delivered.
	Unfollow { channel: Channel },
}

/// A message that the chain pushed: only [`MailboxReader::sync`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenMessage {
	channel: Channel,
	seq: u64,
	position: Position,
	body: Vec<u8>,
}

impl ProvenMessage {
	pub fn channel(&self) -> Channel {
		self.channel
	}

	/// Its number in its channel.
	pub fn seq(&self) -> u64 {
		self.seq
	}

	/// The block that pushed it.
	pub fn block(&self) -> BlockNumber {
		self.position.block
	}

	/// Its place among all messages of that block, over all channels.
	pub fn index(&self) -> u32 {
		self.position.index
	}

	/// Block and index: its place in the order over all channels.
	pub fn position(&self) -> Position {
		self.position
	}

	/// SCALE of a [`phala_protocol::messages::Message`].
	pub fn body(&self) -> &[u8] {
		&self.body
	}

	/// The body, without a copy.
	pub fn into_body(self) -> Vec<u8> {
		self.body
	}
}

/// All messages of all followed channels between two headers, in the order in which the chain
/// pushed them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProvenMessages(Vec<ProvenMessage>);

impl ProvenMessages {
	pub fn iter(&self) -> core::slice::Iter<'_, ProvenMessage> {
		self.0.iter()
	}

	pub fn len(&self) -> usize {
		self.0.len()
	}

	pub fn is_empty(&self) -> bool {
		self.0.is_empty()
	}
}

impl IntoIterator for ProvenMessages {
	type Item = ProvenMessage;
	type IntoIter = std::vec::IntoIter<ProvenMessage>;

	fn into_iter(self) -> Self::IntoIter {
		self.0.into_iter()
	}
}

impl<'a> IntoIterator for &'a ProvenMessages {
	type Item = &'a ProvenMessage;
	type IntoIter = core::slice::Iter<'a, ProvenMessage>;

	fn into_iter(self) -> Self::IntoIter {
		self.0.iter()
	}
}

/// What one bundle came to.
#[derive(Clone, Debug)]
pub struct Synced {
	/// The reader after all of it.
	pub reader: MailboxReader,
	/// What was said since the header before.
	pub messages: ProvenMessages,
	/// What else the bundle proves at the new header.
	pub state: ProvenState,
}

/// A light client that reads channels: all of them up to its header, none beyond it.
///
/// A value, as [`LightClient`]: a refusal changes nothing.
#[derive(Clone, Debug)]
pub struct MailboxReader {
	client: LightClient,
	channels: Channels,
}

impl MailboxReader {
	/// Starts at the client's header, with no channel yet. From here on the client moves only
	/// together with its channels.
	pub fn new(client: LightClient) -> Self {
		Self { client, channels: Channels::default() }
	}

	pub fn client(&self) -> &LightClient {
		&self.client
	}

	pub fn channels(&self) -> &Channels {
		&self.channels
	}

	/// Also follows `channels`, each from its head at the present header: what was said before
	/// concerned others. One that is followed already stays as it is. `state` must be of the present
	/// header and show every head.
	pub fn adopt(
		&self,
		state: &ProvenState,
		channels: impl IntoIterator<Item = Channel>,
	) -> Result<Self, LightClientError> {
		if state.header() != self.client.finalized() {
			return Err(LightClientError::OtherHeader {
				expected: self.client.height(),
				found: state.header().number(),
			});
		}
		let mut adopted = self.clone();
		for channel in channels {
			if let Entry::Vacant(vacant) = adopted.channels.0.entry(channel) {
				vacant.insert(read_head(state, channel)?);
			}
			limit("channels", adopted.channels.len(), limits::CHANNELS_MAX)?;
		}
		Ok(adopted)
	}

	pub fn unfollow(&self, channel: Channel) -> Self {
		let mut without = self.clone();
		without.channels.0.remove(&channel);
		without
	}

	/// Moves to the bundle's last header, with every message of every followed channel until then.
	///
	/// `changes` reads from a message which channels to follow from there on, and which no longer;
	/// it must be a pure function of the message, since a bundle may be refused after it was asked.
	/// A channel that a message opens is part of this very bundle: its messages after that point
	/// are proven and delivered in their places, and may open further channels.
	///
	/// The error names the first thing in the bundle that does not hold; then nothing of it counts.
	pub fn sync(
		&self,
		bundle: SyncBundle,
		mut changes: impl FnMut(&ProvenMessage) -> Vec<ChannelChange>,
	) -> Result<Synced, LightClientError> {
		let client = self.client.advance(&bundle.steps)?;
		let state = client.prove(bundle.state_proof)?;
		let bodies = bodies_by_channel(bundle.bodies)?;

		let mut merge =
			Merge { state: &state, bodies, opened: BTreeMap::new(), next: BTreeMap::new() };
		let reached = Position::end_of(self.client.height());
		for (channel, head) in self.channels.iter() {
			merge.follow(channel, head, reached)?;
		}
		let mut messages = Vec::new();
		while let Some(message) = merge.pop()? {
			for change in changes(&message) {
				match change {
					ChannelChange::Follow { channel, head } => {
						merge.follow(channel, head, message.position)?
					}
					ChannelChange::Unfollow { channel } => merge.unfollow(channel),
				}
			}
			messages.push(message);
		}
		let channels = merge.finish()?;
		Ok(Synced { reader: Self { client, channels }, messages: ProvenMessages(messages), state })
	}
}

fn read_head(state: &ProvenState, channel: Channel) -> Result<ChannelHead, LightClientError> {
	Ok(state.read_as(&storage_keys::mailbox_head(channel))?.unwrap_or_default())
}

fn bodies_by_channel(
	bodies: Vec<phala_protocol::relay::ChannelBodies>,
) -> Result<BTreeMap<Channel, Vec<OutboundMessage>>, LightClientError> {
	limit("lists of bodies", bodies.len(), limits::CHANNELS_MAX)?;
	let mut by_channel = BTreeMap::new();
	let (mut count, mut bytes) = (0usize, 0usize);
	for list in bodies {
		count = count.saturating_add(list.messages.len());
		let lengths = list.messages.iter().map(|message| message.body.len());
		bytes = lengths.fold(bytes, usize::saturating_add);
		if by_channel.insert(list.channel, list.messages).is_some() {
			return Err(LightClientError::ChannelTwice { channel: list.channel });
		}
	}
	limit("messages in a bundle", count, limits::MESSAGES_PER_BUNDLE_MAX)?;
	limit("bytes of bodies in a bundle", bytes, limits::BODIES_BYTES_PER_BUNDLE_MAX)?;
	Ok(by_channel)
}

/// Brings the messages of several channels into one order.
struct Merge<'a> {
	state: &'a ProvenState,
	/// Brought, not yet looked at.
	bodies: BTreeMap<Channel, Vec<OutboundMessage>>,
	/// Every channel that was followed at any time in this bundle.
	opened: BTreeMap<Channel, OpenChannel>,
	/// The next message of each channel that is followed now.
	next: BTreeMap<Position, Channel>,
}

/// A channel whose messages are proven up to the header.
struct OpenChannel {
	followed: bool,
	/// After what was delivered or passed over.
	head: ChannelHead,
	/// The rest, each with the head after it.
	rest: VecDeque<(ProvenMessage, ChannelHead)>,
}

impl Merge<'_> {
	/// Follows `channel` from `head`; `after` is the last place that has been delivered.
	fn follow(
		&mut self,
		channel: Channel,
		head: ChannelHead,
		after: Position,
	) -> Result<(), LightClientError> {
		let open = match self.opened.entry(channel) {
			Entry::Occupied(occupied) => occupied.into_mut(),
			Entry::Vacant(vacant) => {
				let brought = self.bodies.remove(&channel).unwrap_or_default();
				let rest = check_links(self.state, channel, head, brought)?;
				vacant.insert(OpenChannel { followed: false, head, rest })
			}
		};
		// Followed before and left: what was said in between is passed over.
		while !open.followed && open.head.next_seq < head.next_seq {
			let Some((_, passed)) = open.rest.pop_front() else { break };
			open.head = passed;
		}
		if open.head != head {
			return Err(LightClientError::FollowedElsewhere {
				channel,
				followed: open.head.next_seq,
				told: head.next_seq,
			});
		}
		if open.followed {
			return Ok(());
		}
		open.followed = true;
		if let Some((first, _)) = open.rest.front() {
			if first.position <= after {
				return Err(LightClientError::NotAfter {
					channel,
					seq: first.seq,
					found: first.position,
					after,
				});
			}
		}
		limit("channels", self.opened.len(), limits::CHANNELS_MAX)?;
		self.queue(channel)
	}

	fn unfollow(&mut self, channel: Channel) {
		let Some(open) = self.opened.get_mut(&channel) else { return };
		open.followed = false;
		if let Some((first, _)) = open.rest.front() {
			if self.next.get(&first.position) == Some(&channel) {
				self.next.remove(&first.position);
			}
		}
	}

	/// The next message over all channels.
	fn pop(&mut self) -> Result<Option<ProvenMessage>, LightClientError> {
		let Some((_, channel)) = self.next.pop_first() else { return Ok(None) };
		let Some(open) = self.opened.get_mut(&channel) else { return Ok(None) };
		let Some((message, head)) = open.rest.pop_front() else { return Ok(None) };
		open.head = head;
		self.queue(channel)?;
		Ok(Some(message))
	}

	/// Puts a channel's next message in line.
	fn queue(&mut self, channel: Channel) -> Result<(), LightClientError> {
		let first = self.opened.get(&channel).and_then(|open| open.rest.front());
		let Some((first, _)) = first else { return Ok(()) };
		match self.next.entry(first.position) {
			Entry::Vacant(vacant) => {
				vacant.insert(channel);
				Ok(())
			}
			Entry::Occupied(other) => Err(LightClientError::PlaceTwice {
				first: *other.get(),
				second: channel,
				position: first.position,
			}),
		}
	}

	/// Where all followed channels stand at the header.
	fn finish(self) -> Result<Channels, LightClientError> {
		if let Some((channel, _)) = self.bodies.into_iter().next() {
			return Err(LightClientError::NotFollowed { channel });
		}
		let followed = self.opened.into_iter().filter(|(_, open)| open.followed);
		Ok(Channels(followed.map(|(channel, open)| (channel, open.head)).collect()))
	}
}

/// Checks `brought` link by link, from `head` to the channel's head in `state`.
fn check_links(
	state: &ProvenState,
	channel: Channel,
	mut head: ChannelHead,
	brought: Vec<OutboundMessage>,
) -> Result<VecDeque<(ProvenMessage, ChannelHead)>, LightClientError> {
	let proven = read_head(state, channel)?;
	if proven.next_seq < head.next_seq {
		return Err(LightClientError::WentBack {
			channel,
			followed: head.next_seq,
			proven: proven.next_seq,
		});
	}

	let number = state.header().number();
	let mut checked = VecDeque::with_capacity(brought.len());
	let mut last: Option<Position> = None;
	let mut brought: vec_deque::IntoIter<_> = VecDeque::from(brought).into_iter();
	while let Some(message) = brought.next() {
		let OutboundMessage { seq, block, index, body } = message;
		let expected = head.next_seq;
		if seq < expected {
			return Err(LightClientError::Repeated { channel, seq: expected, found: seq });
		}
		if seq > expected {
			return Err(if brought.any(|later| later.seq == expected) {
				LightClientError::Reordered { channel, seq: expected, found: seq }
			} else {
				LightClientError::Missing { channel, seq: expected, found: seq }
			});
		}
		if seq >= proven.next_seq {
			return Err(LightClientError::NotOnChain { channel, seq });
		}
		if body.len() > limits::MESSAGE_BYTES_MAX as usize {
			return Err(LightClientError::BodyTooLong { channel, seq, bytes: body.len() });
		}
		if block > number {
			return Err(LightClientError::AheadOfHeader { channel, seq, block, number });
		}
		let position = Position { block, index };
		if let Some(after) = last.filter(|last| position <= *last) {
			return Err(LightClientError::NotAfter { channel, seq, found: position, after });
		}
		last = Some(position);
		head =
			head.after(block, index, &body).ok_or(LightClientError::NotOnChain { channel, seq })?;
		checked.push_back((ProvenMessage { channel, seq, position, body }, head));
	}

	if head.next_seq < proven.next_seq {
		return Err(LightClientError::HeldBack {
			channel,
			from: head.next_seq,
			until: proven.next_seq,
		});
	}
	if head != proven {
		return Err(LightClientError::Altered { channel });
	}
	Ok(checked)
}
