//! Sealing pages for disks and members, and opening what comes from them.

use crate::{
	layout::Layouts,
	limits::VALUE_PAGE_BYTES_MAX,
	page::{Page, PageName},
};
use codec::{DecodeAll, Encode};
use phala_keys::pages::{PageCipher, SealedPage};
use phala_protocol::{clusters::Generation, keys::Epoch};
use rand_core::CryptoRng;

/// Why bytes are not the page that was asked for. Whatever it is, the page is missing, and another
/// place may have it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusablePageError {
	#[error("page refused: {bytes} bytes, at most {VALUE_PAGE_BYTES_MAX} are accepted")]
	TooLong { bytes: usize },
	#[error("page refused: its bytes are not a valid encoding of one")]
	Malformed,
	#[error("page refused: it is sealed under a data key of epoch {epoch}, generation {generation}, which is not here")]
	UnknownKey { epoch: Epoch, generation: Generation },
	#[error(
		"page refused: it does not open. It was changed, or is another agent's or another page"
	)]
	DoesNotOpen,
	#[error("page refused: {why}")]
	NotThePage { why: &'static str },
}

/// The keys of one agent's pages: that which seals, and older ones that still open.
pub struct PageKeys {
	newest: PageCipher,
	older: Vec<PageCipher>,
}

impl PageKeys {
	pub fn new(newest: PageCipher) -> Self {
		Self { newest, older: Vec::new() }
	}

	/// One that is not sealed with any more, of the same agent.
	pub fn and_older(mut self, older: PageCipher) -> Self {
		self.older.push(older);
		self
	}

	/// As disks and members get it. Sealed again, it has other bytes and the same name.
	pub fn seal(&self, rng: &mut impl CryptoRng, page: &Page) -> Vec<u8> {
		let plaintext = page.plaintext();
		let sealed =
			self.newest.seal(rng, page.name().0, page.layout(), page.version(), plaintext.expose());
		// Only a page far longer than any layout's could not be sealed; nobody can open what is empty.
		sealed.map(|sealed| sealed.encode()).unwrap_or_default()
	}

	/// The page of this name, if these bytes are it: the seal, the name and the form are checked, in
	/// this order.
	pub fn open(
		&self,
		layouts: Layouts,
		name: PageName,
		bytes: &[u8],
	) -> Result<Page, UnusablePageError> {
		if bytes.len() > VALUE_PAGE_BYTES_MAX {
			return Err(UnusablePageError::TooLong { bytes: bytes.len() });
		}
		let sealed =
			SealedPage::decode_all(&mut &bytes[..]).map_err(|_| UnusablePageError::Malformed)?;
		let made_in = (sealed.header.epoch, sealed.header.generation);
		let cipher = [&self.newest]
			.into_iter()
			.chain(&self.older)
			.find(|cipher| cipher.made_in() == made_in)
			.ok_or(UnusablePageError::UnknownKey { epoch: made_in.0, generation: made_in.1 })?;
		let plaintext = cipher.open(name.0, &sealed).map_err(|_| UnusablePageError::DoesNotOpen)?;
		let page = Page::read(name, &plaintext, layouts)
			.map_err(|why| UnusablePageError::NotThePage { why })?;
		if (page.layout(), page.version()) != (sealed.header.layout, sealed.header.version) {
			return Err(UnusablePageError::NotThePage { why: "its header is another page's" });
		}
		Ok(page)
	}

	/// Whether a stored page is under an older key and has to be sealed anew.
	pub fn is_outdated(&self, bytes: &[u8]) -> bool {
		use codec::Decode;
		phala_keys::pages::PageHeader::decode(&mut &bytes[..])
			.is_ok_and(|header| (header.epoch, header.generation) != self.newest.made_in())
	}
}
