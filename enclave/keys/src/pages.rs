//! Encryption of the pages of one agent's state.
//!
//! Each agent has its own key under the cluster's data key. A sealed page is bound to the agent, to
//! the page's name and to all that stands openly before it: it cannot be moved or passed for another.
//! That the plaintext has the name that was asked for is checked by who parses it: the `state` crate.

use crate::{
	aead::{self, Nonce},
	cluster::{ClusterKey, ClusterKeyKind},
	error::Error,
	padding::{self, Steps},
	secret::{Secret32, SecretBytes},
};
use codec::{Decode, Encode};
use phala_protocol::{
	agents::{AgentId, StateVersion},
	boot::{BootNumber, WorkerId},
	clusters::Generation,
	domains::{Domain, STATE_PAGES_KEY, STATE_PAGES_QUESTION, STATE_SEALED_PAGE},
	keys::Epoch,
	mailbox::ClusterId,
	BlockNumber, H256,
};
use rand_core::CryptoRng;

/// What stands openly before a sealed page. The host sees when it writes a page, so it learns nothing
/// from this; that it was not changed is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PageHeader {
	/// Of the tree, when the page was written.
	pub layout: u16,
	/// Of the state that it was written for.
	pub version: StateVersion,
	/// When the data key was made that it is sealed under.
	pub epoch: Epoch,
	pub generation: Generation,
}

/// A page as disks and other members have it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealedPage {
	pub header: PageHeader,
	pub nonce: Nonce,
	/// The padded page, with a tag.
	pub ciphertext: Vec<u8>,
}

#[derive(Encode)]
struct PagesKeyInfo {
	domain: Domain,
	cluster: ClusterId,
	agent: AgentId,
	key_number: u32,
	epoch: Epoch,
	generation: Generation,
}

#[derive(Encode)]
struct PageContext {
	domain: Domain,
	agent: AgentId,
	page: H256,
	header: PageHeader,
}

/// Who asks whom for pages, and when. It stands openly before a sealed question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct QuestionHeader {
	pub asker: WorkerId,
	pub boot: BootNumber,
	pub asked: WorkerId,
	/// The newest finalized block that the asker knows.
	pub height: BlockNumber,
	/// When the data key was made that it is sealed under.
	pub epoch: Epoch,
	pub generation: Generation,
}

/// For which pages one member asks another: made and read by members alone. Anybody may bring it again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SealedQuestion {
	pub header: QuestionHeader,
	pub nonce: Nonce,
	pub ciphertext: Vec<u8>,
}

#[derive(Encode)]
struct QuestionContext {
	domain: Domain,
	agent: AgentId,
	header: QuestionHeader,
}

/// Encrypts and decrypts the pages of one agent's state under one data key.
pub struct PageCipher {
	agent: AgentId,
	epoch: Epoch,
	generation: Generation,
	key: Secret32,
}

impl PageCipher {
	/// Of `agent`, under a data key of its cluster that was made in this epoch and generation.
	pub fn new(
		key: &ClusterKey,
		agent: AgentId,
		epoch: Epoch,
		generation: Generation,
	) -> Result<Self, Error> {
		if key.id().kind != ClusterKeyKind::Data {
			return Err(Error::WrongKeyKind { wanted: "a data key" });
		}
		let info = PagesKeyInfo {
			domain: STATE_PAGES_KEY,
			cluster: key.cluster(),
			agent,
			key_number: key.id().number,
			epoch,
			generation,
		};
		Ok(Self { agent, epoch, generation, key: Secret32::derive(key.secret().expose(), &info) })
	}

	pub fn agent(&self) -> AgentId {
		self.agent
	}

	/// When the data key was made.
	pub fn made_in(&self) -> (Epoch, Generation) {
		(self.epoch, self.generation)
	}

	/// Encrypts the page named `page`, of this layout and version.
	pub fn seal(
		&self,
		rng: &mut impl CryptoRng,
		page: H256,
		layout: u16,
		version: StateVersion,
		plaintext: &[u8],
	) -> Result<SealedPage, Error> {
		let Self { agent, epoch, generation, .. } = *self;
		let padded = padding::pad(Steps::Message, plaintext)?;
		let header = PageHeader { layout, version, epoch, generation };
		let context = PageContext { domain: STATE_SEALED_PAGE, agent, page, header };
		let (nonce, ciphertext) = aead::encrypt(rng, &self.key, &context, padded.expose());
		Ok(SealedPage { header, nonce, ciphertext })
	}

	/// Decrypts what was sealed as the page named `page`.
	pub fn open(&self, page: H256, sealed: &SealedPage) -> Result<SecretBytes, Error> {
		let SealedPage { header, nonce, ciphertext } = sealed;
		let context =
			PageContext { domain: STATE_SEALED_PAGE, agent: self.agent, page, header: *header };
		let padded = aead::decrypt(&self.key, &context, nonce, ciphertext, "page of state")?;
		Ok(SecretBytes::new(padding::unpad(Steps::Message, padded.expose())?.to_vec()))
	}

	/// A question of `asker` to `asked`, when the newest finalized block that it knows was `height`.
	pub fn seal_question(
		&self,
		rng: &mut impl CryptoRng,
		(asker, boot): (WorkerId, BootNumber),
		asked: WorkerId,
		height: BlockNumber,
		question: &[u8],
	) -> SealedQuestion {
		let Self { agent, epoch, generation, .. } = *self;
		let header = QuestionHeader { asker, boot, asked, height, epoch, generation };
		let context = QuestionContext { domain: STATE_PAGES_QUESTION, agent, header };
		let (nonce, ciphertext) = aead::encrypt(rng, &self.key, &context, question);
		SealedQuestion { header, nonce, ciphertext }
	}

	/// What a member asks. Whether it may is for the caller to see, by its header.
	pub fn open_question(&self, question: &SealedQuestion) -> Result<SecretBytes, Error> {
		let SealedQuestion { header, nonce, ciphertext } = question;
		let context =
			QuestionContext { domain: STATE_PAGES_QUESTION, agent: self.agent, header: *header };
		aead::decrypt(&self.key, &context, nonce, ciphertext, "question for pages")
	}
}
