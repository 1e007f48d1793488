//! The master key of an epoch: BLS12-381, shared among the gatekeepers of the epoch, never in one
//! place. What it signs is the seed of a cluster secret.
//!
//! Public keys in G1 (48 bytes), signatures in G2 (96 bytes): commitments travel through the
//! chain and are many, signatures travel off chain. The ciphersuite is
//! `BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_` of the IETF draft, so any BLS library can check
//! a master signature. BLS signatures are unique: every t gatekeepers make the same secret.

pub use crate::sharing::SharingId;
use crate::{cluster::ClusterSecret, error::Error, limits::CEREMONY_MEMBERS_MAX, secret::Secret32};
use codec::{Decode, Encode, Input};
use commonware_codec::{Copying, Encode as _, Read as _, ReadExt as _};
use commonware_cryptography::bls12381::primitives::{
	group::{Private, Share, G1, G2},
	ops,
	sharing::{ModeVersion, Sharing},
	variant::{MinPk, PartialSignature as CommonwarePartial, Variant},
};
use commonware_parallel::Sequential;
use commonware_utils::{Faults, N3f1, Participant};
use core::num::NonZeroU32;
use phala_protocol::{
	clusters::Generation,
	domains::{Domain, CLUSTER, CLUSTER_SECRET},
	keys::Epoch,
	mailbox::ClusterId,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a compressed public key, or of one coefficient of a commitment.
pub const PUBLIC_KEY_BYTES: usize = 48;
pub const SIGNATURE_BYTES: usize = 96;

/// Most faulty gatekeepers of `players` that stop nothing: ⌊(n−1)/3⌋.
pub fn faults_max(players: u32) -> u32 {
	players.saturating_sub(1) / 3
}

/// Gatekeepers of `players` that are needed to sign, and enough: t = n − f.
pub fn quorum(players: u32) -> u32 {
	players - faults_max(players)
}

/// What gatekeepers sign for generation `generation` of `cluster`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
pub struct ClusterKeyMessage {
	domain: Domain,
	cluster: ClusterId,
	generation: Generation,
}

impl ClusterKeyMessage {
	/// The epoch is not in it: each epoch has its own master key.
	pub fn new(cluster: ClusterId, generation: Generation) -> Self {
		Self { domain: CLUSTER, cluster, generation }
	}
}

/// The public half of a master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MasterPublicKey(pub [u8; PUBLIC_KEY_BYTES]);

/// One gatekeeper's share of a master key.
pub struct MasterShare {
	pub(crate) sharing: SharingId,
	pub(crate) index: u32,
	pub(crate) private: Private,
}

impl MasterShare {
	pub fn sharing(&self) -> SharingId {
		self.sharing
	}

	/// Its gatekeeper's place in the [`PublicPolynomial`].
	pub fn index(&self) -> u32 {
		self.index
	}

	/// This gatekeeper's part of the signature over `message`.
	pub fn partial_sign(&self, message: &ClusterKeyMessage) -> PartialSignature {
		let signature = ops::sign::<MinPk>(&self.private, MinPk::MESSAGE, &Encode::encode(message));
		PartialSignature { index: self.index, signature: signature_bytes(&signature) }
	}

	pub(crate) fn to_commonware(&self) -> Share {
		Share::new(Participant::new(self.index), self.private.clone())
	}
}

/// A gatekeeper's part of a signature. t of them make a cluster secret, so it travels sealed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PartialSignature {
	pub(crate) index: u32,
	pub(crate) signature: [u8; SIGNATURE_BYTES],
}

impl PartialSignature {
	/// As it was unsealed: nothing is known about it yet.
	pub fn from_bytes(index: u32, signature: &[u8]) -> Result<Self, Error> {
		let signature =
			signature.try_into().map_err(|_| Error::Malformed { what: "partial signature" })?;
		Ok(Self { index, signature })
	}

	/// The gatekeeper's place in the polynomial.
	pub fn index(&self) -> u32 {
		self.index
	}

	/// The point, compressed. Whoever has t of these has the cluster's secret.
	pub fn expose(&self) -> &[u8; SIGNATURE_BYTES] {
		&self.signature
	}
}

/// A partial signature that was checked against the polynomial.
pub struct VerifiedPartial {
	message: ClusterKeyMessage,
	partial: PartialSignature,
}

impl VerifiedPartial {
	/// The gatekeeper's place in the polynomial.
	pub fn index(&self) -> u32 {
		self.partial.index
	}
}

/// The commitment that the ceremony of a sharing made public: the master public key and every
/// gatekeeper's public share follow from it. SCALE: `{ players: u32, coefficients: Vec<[u8; 48]> }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicPolynomial(Sharing<MinPk>);

#[derive(Encode, Decode)]
struct PublicPolynomialBytes {
	players: u32,
	coefficients: Vec<[u8; PUBLIC_KEY_BYTES]>,
}

impl PublicPolynomial {
	pub(crate) fn from_sharing(sharing: Sharing<MinPk>) -> Result<Self, Error> {
		let players = sharing.total().get();
		// A lower degree would let fewer than t gatekeepers sign.
		if players as usize > CEREMONY_MEMBERS_MAX || sharing.required() != N3f1::quorum(players) {
			return Err(Error::Malformed { what: "public polynomial" });
		}
		Ok(Self(sharing))
	}

	/// n.
	pub fn players(&self) -> u32 {
		self.0.total().get()
	}

	/// t: how many partial signatures combine.
	pub fn quorum(&self) -> u32 {
		self.0.required()
	}

	/// The public half of the shared key.
	pub fn master_public_key(&self) -> MasterPublicKey {
		let bytes = self.0.public().encode();
		let mut key = [0; PUBLIC_KEY_BYTES];
		key.copy_from_slice(&bytes);
		MasterPublicKey(key)
	}

	/// Whether `share` is the one that this polynomial commits to.
	pub fn check_share(&self, share: &MasterShare) -> Result<(), Error> {
		match self.0.partial_public(Participant::new(share.index)) {
			Ok(public) if public == share.to_commonware().public::<MinPk>() => Ok(()),
			_ => Err(Error::ShareIsNotOfPolynomial),
		}
	}

	/// Checks one gatekeeper's part. A wrong one names its sender.
	pub fn verify_partial(
		&self,
		message: &ClusterKeyMessage,
		partial: PartialSignature,
	) -> Result<VerifiedPartial, Error> {
		let index = partial.index;
		let public = self
			.0
			.partial_public(Participant::new(index))
			.map_err(|_| Error::UnknownGatekeeper { index, players: self.players() })?;
		let lied = || Error::GatekeeperLied { index };
		let signature = parse_signature(&partial.signature).ok_or_else(lied)?;
		ops::verify::<MinPk>(&public, MinPk::MESSAGE, &Encode::encode(message), &signature)
			.map_err(|_| lied())?;
		Ok(VerifiedPartial { message: *message, partial })
	}

	/// Combines t checked parts of one message, and checks the result against the master key.
	pub fn combine(
		&self,
		message: &ClusterKeyMessage,
		partials: &[VerifiedPartial],
	) -> Result<ClusterSecretSignature, Error> {
		let needed = self.quorum();
		let mut distinct = std::collections::BTreeMap::new();
		for verified in partials.iter().filter(|verified| verified.message == *message) {
			let index = verified.partial.index;
			let value = parse_signature(&verified.partial.signature)
				.ok_or(Error::GatekeeperLied { index })?;
			distinct.insert(index, CommonwarePartial { index: Participant::new(index), value });
			if distinct.len() == needed as usize {
				break;
			}
		}
		let have = distinct.len() as u32;
		if have < needed {
			return Err(Error::NotEnoughPartials { have, needed });
		}
		let signature = ops::threshold::recover(&self.0, distinct.values(), &Sequential)
			.map_err(|_| Error::NotByMasterKey)?;
		let signature =
			ClusterSecretSignature { message: *message, signature: signature_bytes(&signature) };
		signature.verify(&self.master_public_key())?;
		Ok(signature)
	}
}

impl Encode for PublicPolynomial {
	fn encode(&self) -> Vec<u8> {
		let bytes = commonware_codec::Encode::encode(&self.0);
		let coefficients = trailing_points(&bytes, self.quorum() as usize);
		PublicPolynomialBytes { players: self.players(), coefficients }.encode()
	}
}

impl Decode for PublicPolynomial {
	fn decode<I: Input>(input: &mut I) -> Result<Self, codec::Error> {
		let PublicPolynomialBytes { players, coefficients } = Decode::decode(input)?;
		if players == 0
			|| players as usize > CEREMONY_MEMBERS_MAX
			|| coefficients.len() != quorum(players) as usize
		{
			return Err("public polynomial of a wrong size".into());
		}
		// Commonware's own layout: mode 0, number of players, points with their count in front.
		let mut bytes = vec![0];
		bytes.extend_from_slice(&players.to_be_bytes());
		bytes.extend_from_slice(&counted_points(&coefficients));
		let max = NonZeroU32::new(CEREMONY_MEMBERS_MAX as u32).unwrap_or(NonZeroU32::MIN);
		let mut buffer = Copying(&bytes);
		let sharing = Sharing::read_cfg(&mut buffer, &(max, ModeVersion::v0()))
			.map_err(|_| codec::Error::from("public polynomial with a bad point"))?;
		Self::from_sharing(sharing).map_err(|_| "public polynomial of a wrong degree".into())
	}
}

/// A signature by the master key. It is as secret as the cluster secret that it is hashed to.
#[derive(ZeroizeOnDrop)]
pub struct ClusterSecretSignature {
	#[zeroize(skip)]
	message: ClusterKeyMessage,
	signature: [u8; SIGNATURE_BYTES],
}

#[derive(Encode)]
struct ClusterSecretInfo {
	domain: Domain,
	epoch: Epoch,
	cluster: ClusterId,
	generation: Generation,
}

impl ClusterSecretSignature {
	/// As it came from elsewhere; `verify` says whether it is good.
	pub fn from_bytes(message: ClusterKeyMessage, signature: [u8; SIGNATURE_BYTES]) -> Self {
		Self { message, signature }
	}

	/// Whether it is by the master key with this public half.
	pub fn verify(&self, key: &MasterPublicKey) -> Result<(), Error> {
		let public = G1::read(&mut Copying(&key.0))
			.map_err(|_| Error::Malformed { what: "master public key" })?;
		let signature = parse_signature(&self.signature).ok_or(Error::NotByMasterKey)?;
		ops::verify::<MinPk>(&public, MinPk::MESSAGE, &self.message.encode(), &signature)
			.map_err(|_| Error::NotByMasterKey)
	}

	/// `HKDF-SHA256(signature, SCALE(domain, epoch, cluster, generation))`.
	pub fn cluster_secret(&self, epoch: Epoch) -> ClusterSecret {
		let ClusterKeyMessage { cluster, generation, .. } = self.message;
		let info = ClusterSecretInfo { domain: CLUSTER_SECRET, epoch, cluster, generation };
		ClusterSecret::new(epoch, cluster, generation, Secret32::derive(&self.signature, &info))
	}
}

fn signature_bytes(signature: &G2) -> [u8; SIGNATURE_BYTES] {
	let mut bytes = [0; SIGNATURE_BYTES];
	commonware_codec::Write::write(signature, &mut bytes.as_mut_slice());
	bytes
}

fn parse_signature(bytes: &[u8; SIGNATURE_BYTES]) -> Option<G2> {
	G2::read(&mut Copying(bytes)).ok()
}

/// The last `count` points of one of commonware's encodings.
pub(crate) fn trailing_points(bytes: &[u8], count: usize) -> Vec<[u8; PUBLIC_KEY_BYTES]> {
	let start = bytes.len().saturating_sub(count * PUBLIC_KEY_BYTES);
	bytes
		.get(start..)
		.unwrap_or_default()
		.chunks_exact(PUBLIC_KEY_BYTES)
		.map(|chunk| {
			let mut point = [0; PUBLIC_KEY_BYTES];
			point.copy_from_slice(chunk);
			point
		})
		.collect()
}

/// Points with their count in front, as commonware encodes them: counts below 128 are one byte.
pub(crate) fn counted_points(points: &[[u8; PUBLIC_KEY_BYTES]]) -> Vec<u8> {
	const { assert!(CEREMONY_MEMBERS_MAX < 128) };
	let mut bytes = vec![points.len() as u8];
	bytes.extend(points.iter().flatten());
	bytes
}

#[cfg(test)]
mod tests {
	use super::*;

	/// The same signature by another implementation's own face (`blst`), from the same scalar.
	#[test]
	fn a_partial_signature_is_a_standard_bls_signature_over_the_named_message() {
		let secret = [0x17; 32];
		let private = Private::read(&mut Copying(&secret)).ok().unwrap();
		let sharing = SharingId { epoch: 1, attempt: 0 };
		let message = ClusterKeyMessage::new(7, 2);
		let partial = MasterShare { sharing, index: 0, private }.partial_sign(&message);
		let standard = blst::min_pk::SecretKey::from_bytes(&secret).unwrap().sign(
			b"\x40phala/cluster/v1\x07\0\0\0\x02\0\0\0",
			b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_",
			&[],
		);
		assert_eq!(partial.expose(), &standard.to_bytes());
	}

	#[test]
	fn t_is_n_less_a_third() {
		let quorums: Vec<_> = (1..=10).map(quorum).collect();
		assert_eq!(quorums, [1, 2, 3, 3, 4, 5, 5, 6, 7, 7]);
		for players in 1..=CEREMONY_MEMBERS_MAX as u32 {
			assert_eq!(quorum(players), N3f1::quorum(players));
			assert_eq!(faults_max(players), N3f1::max_faults(players));
		}
	}
}
