//! How a worker gets a cluster secret: it asks through the mailbox, each gatekeeper answers with
//! its partial signature sealed to the request's single-use key, t of them combine.
//!
//! An insecure channel is fine for all of it. A [`PartialRelease`] is signed by the gatekeeper's
//! boot: without that, a relay could put garbage under an honest gatekeeper's index and have it
//! named a liar. The gatekeeper's duty to answer admitted requests only, at a finalized header,
//! is its caller's: this module has no view of the chain.

use crate::{
	boot::{verify_statement, BootKeys},
	cluster::ClusterSecret,
	error::Error,
	hpke::{self, DecryptionKey, EncryptionKey, Sealed},
	master::{
		ClusterKeyMessage, MasterShare, PartialSignature, PublicPolynomial, SharingId,
		VerifiedPartial,
	},
	sr25519::Signature,
};
use codec::{Decode, Encode};
use phala_protocol::{
	boot::{BootNumber, WorkerId},
	clusters::Generation,
	domains::{Domain, PARTIAL_RELEASE, SEALED_PARTIAL},
	keys::KeyRequest,
	mailbox::ClusterId,
	AccountBytes, H256,
};
use rand_core::CryptoRng;
use std::{collections::BTreeMap, sync::Arc};

fn message(request: &KeyRequest) -> ClusterKeyMessage {
	ClusterKeyMessage::new(request.cluster, request.generation)
}

/// A request and the secret half of its single-use key.
pub struct PendingRequest {
	request: KeyRequest,
	ephemeral: DecryptionKey,
}

impl PendingRequest {
	/// A new one, with a new key.
	pub fn new(
		rng: &mut impl CryptoRng,
		worker: WorkerId,
		boot: BootNumber,
		cluster: ClusterId,
		generation: Generation,
	) -> Self {
		let ephemeral = DecryptionKey::generate(rng);
		let ephemeral_key = ephemeral.public().0;
		Self { request: KeyRequest { worker, boot, cluster, generation, ephemeral_key }, ephemeral }
	}

	pub fn request(&self) -> &KeyRequest {
		&self.request
	}
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PartialRelease {
	/// Which master key, which sharing of it.
	pub sharing: SharingId,
	/// The gatekeeper's index in it.
	pub gatekeeper: u32,
	/// Its partial signature, sealed to [`KeyRequest::ephemeral_key`].
	pub sealed: Sealed,
	/// By the gatekeeper's boot.
	pub signature: Signature,
}

/// Where a partial signature belongs: the HPKE info.
#[derive(Encode)]
struct PartialContext {
	domain: Domain,
	genesis: H256,
	sharing: SharingId,
	gatekeeper: u32,
	cluster: ClusterId,
	generation: Generation,
	worker: WorkerId,
	boot: BootNumber,
}

/// What a gatekeeper signs.
#[derive(Encode)]
struct ReleaseStatement<'a> {
	domain: Domain,
	genesis: H256,
	sharing: SharingId,
	gatekeeper: u32,
	request: &'a KeyRequest,
	sealed: &'a Sealed,
}

fn partial_context(
	genesis: H256,
	sharing: SharingId,
	gatekeeper: u32,
	request: &KeyRequest,
) -> PartialContext {
	let KeyRequest { worker, boot, cluster, generation, .. } = *request;
	PartialContext {
		domain: SEALED_PARTIAL,
		genesis,
		sharing,
		gatekeeper,
		cluster,
		generation,
		worker,
		boot,
	}
}

/// A gatekeeper's answer to an **admitted** request: its caller has seen the request at a
/// finalized header, from a current boot that is a member of the cluster's current generation.
pub fn release_partial(
	rng: &mut impl CryptoRng,
	genesis: H256,
	keys: &BootKeys,
	share: &MasterShare,
	request: &KeyRequest,
) -> Result<PartialRelease, Error> {
	let (sharing, gatekeeper) = (share.sharing(), share.index());
	let partial = share.partial_sign(&message(request));
	let context = partial_context(genesis, sharing, gatekeeper, request);
	let sealed =
		hpke::seal(rng, &EncryptionKey(request.ephemeral_key), &context, &[], partial.expose())?;
	let domain = PARTIAL_RELEASE;
	let statement =
		ReleaseStatement { domain, genesis, sharing, gatekeeper, request, sealed: &sealed };
	let signature = keys.sign(rng, &statement);
	Ok(PartialRelease { sharing, gatekeeper, sealed, signature })
}

/// A worker collecting answers to one request from the gatekeepers of one sharing. When another
/// sharing becomes active in between, a second collector shares the same pending request.
pub struct ReleaseCollector {
	genesis: H256,
	sharing: SharingId,
	polynomial: PublicPolynomial,
	gatekeepers: Vec<AccountBytes>,
	pending: Arc<PendingRequest>,
	accepted: BTreeMap<u32, VerifiedPartial>,
}

impl ReleaseCollector {
	/// `gatekeepers` are the identities of the sharing's players, in the order of their indices.
	/// It and `polynomial` come from the chain, proven.
	pub fn new(
		genesis: H256,
		sharing: SharingId,
		polynomial: PublicPolynomial,
		gatekeepers: Vec<AccountBytes>,
		pending: Arc<PendingRequest>,
	) -> Result<Self, Error> {
		if gatekeepers.len() != polynomial.players() as usize {
			return Err(Error::MemberCount { count: gatekeepers.len() });
		}
		let accepted = BTreeMap::new();
		Ok(Self { genesis, sharing, polynomial, gatekeepers, pending, accepted })
	}

	/// Takes an answer and says whether there are enough. What is refused changes nothing;
	/// [`Error::GatekeeperLied`] is said of a gatekeeper that signed what it sent, and of no
	/// other.
	pub fn add(&mut self, release: &PartialRelease) -> Result<bool, Error> {
		let index = release.gatekeeper;
		if release.sharing != self.sharing {
			let (have, wanted) = (release.sharing, self.sharing);
			return Err(Error::WrongSharing { what: "release", have, wanted });
		}
		let signer = *self
			.gatekeepers
			.get(index as usize)
			.ok_or(Error::UnknownGatekeeper { index, players: self.polynomial.players() })?;
		if self.accepted.contains_key(&index) {
			return Err(Error::DuplicateRelease { index });
		}
		let request = &self.pending.request;
		let statement = ReleaseStatement {
			domain: PARTIAL_RELEASE,
			genesis: self.genesis,
			sharing: self.sharing,
			gatekeeper: index,
			request,
			sealed: &release.sealed,
		};
		if !verify_statement(&signer, &statement, &release.signature) {
			return Err(Error::BadSignature { what: "release", signer });
		}
		let lied = |_| Error::GatekeeperLied { index };
		let context = partial_context(self.genesis, self.sharing, index, request);
		let opened = hpke::open(
			&self.pending.ephemeral,
			&context,
			&[],
			&release.sealed,
			"partial signature",
		)
		.map_err(lied)?;
		let partial = PartialSignature::from_bytes(index, opened.expose()).map_err(lied)?;
		let verified = self.polynomial.verify_partial(&message(request), partial)?;
		self.accepted.insert(index, verified);
		Ok(self.accepted.len() >= self.polynomial.quorum() as usize)
	}

	/// Gatekeepers whose answers were accepted.
	pub fn accepted(&self) -> impl Iterator<Item = u32> + '_ {
		self.accepted.keys().copied()
	}

	/// The cluster secret, checked against the master public key.
	pub fn finish(self) -> Result<ClusterSecret, Error> {
		let partials: Vec<_> = self.accepted.into_values().collect();
		let message = message(&self.pending.request);
		let signature = self.polynomial.combine(&message, &partials)?;
		Ok(signature.cluster_secret(self.sharing.epoch))
	}
}
