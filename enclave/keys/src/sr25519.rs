//! sr25519 as Substrate signs: Schnorr on Ristretto, context `substrate`.

use crate::secret::Secret32;
use rand_core::CryptoRng;
use schnorrkel::{context::attach_rng, signing_context, ExpansionMode, Keypair, MiniSecretKey};

/// The sr25519 context that Substrate uses for everything; separation is the domain's work.
pub const SUBSTRATE_SIGNING_CONTEXT: &[u8] = b"substrate";

/// A signature's 64 bytes.
pub type Signature = [u8; 64];

/// A key pair whose secret half is wiped on drop (schnorrkel does that).
pub(crate) struct SigningKey(Keypair);

impl SigningKey {
	/// The pair that `sp_core::sr25519::Pair::from_seed` makes of the same seed.
	#[allow(clippy::expect_used)]
	pub(crate) fn from_seed(seed: &Secret32) -> Self {
		let mini = MiniSecretKey::from_bytes(seed.expose())
			.expect("any 32 bytes are a mini secret key; qed");
		Self(mini.expand_to_keypair(ExpansionMode::Ed25519))
	}

	pub(crate) fn public(&self) -> [u8; 32] {
		self.0.public.to_bytes()
	}

	/// The nonce comes from the secret key, the message **and** `rng`: a bad generator alone does
	/// not give the key away.
	pub(crate) fn sign(&self, rng: &mut impl CryptoRng, message: &[u8]) -> Signature {
		let transcript = signing_context(SUBSTRATE_SIGNING_CONTEXT).bytes(message);
		self.0.sign(attach_rng(transcript, OldRng(rng))).to_bytes()
	}

	/// For callers that have no generator: the nonce comes from the secret key and the message.
	pub(crate) fn sign_deterministic(&self, message: &[u8]) -> Signature {
		let transcript = signing_context(SUBSTRATE_SIGNING_CONTEXT).bytes(message);
		self.0.sign(attach_rng(transcript, NoRandomness)).to_bytes()
	}
}

/// The account of a seed that everybody may know.
pub fn public_of_published_seed(seed: [u8; 32]) -> [u8; 32] {
	SigningKey::from_seed(&Secret32::new(seed)).public()
}

/// Signs with the pair of a **published** seed: what is signed so is worth nothing as proof. For
/// development roots; real keys sign through the type that holds them.
pub fn sign_with_published_seed(seed: [u8; 32], message: &[u8]) -> Signature {
	SigningKey::from_seed(&Secret32::new(seed)).sign_deterministic(message)
}

/// Whether `signature` is by the secret half of `public` over `message`.
pub fn verify(public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
	let Ok(public) = schnorrkel::PublicKey::from_bytes(public) else { return false };
	let Ok(signature) = schnorrkel::Signature::from_bytes(signature) else { return false };
	public.verify_simple(SUBSTRATE_SIGNING_CONTEXT, message, &signature).is_ok()
}

/// schnorrkel asks for `rand_core` 0.6, everything else here for 0.10.
struct OldRng<'a, R>(&'a mut R);

impl<R: CryptoRng> schnorrkel_rand_core::RngCore for OldRng<'_, R> {
	fn next_u32(&mut self) -> u32 {
		self.0.next_u32()
	}
	fn next_u64(&mut self) -> u64 {
		self.0.next_u64()
	}
	fn fill_bytes(&mut self, bytes: &mut [u8]) {
		self.0.fill_bytes(bytes)
	}
	fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), schnorrkel_rand_core::Error> {
		self.0.fill_bytes(bytes);
		Ok(())
	}
}

impl<R: CryptoRng> schnorrkel_rand_core::CryptoRng for OldRng<'_, R> {}

/// Adds nothing to schnorrkel's nonce, which is then a hash of the key's own nonce seed, the
/// public key and the message: two messages never share one.
struct NoRandomness;

impl schnorrkel_rand_core::RngCore for NoRandomness {
	fn next_u32(&mut self) -> u32 {
		0
	}
	fn next_u64(&mut self) -> u64 {
		0
	}
	fn fill_bytes(&mut self, bytes: &mut [u8]) {
		bytes.fill(0)
	}
	fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), schnorrkel_rand_core::Error> {
		bytes.fill(0);
		Ok(())
	}
}

impl schnorrkel_rand_core::CryptoRng for NoRandomness {}
