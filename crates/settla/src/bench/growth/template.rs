//! What a completed transfer leaves, as a pattern that any number of stored ones are written from.
//!
//! The pattern is the text of real rows, so nothing here repeats what the engine writes. In it every id, tenant,
//! account, instant, reference and event number is a gap. An id is filled so that what holds of the real ones still holds:
//! its time is the row's, those of effects and postings are derived from their transfer's, and the same id in two places
//! is the same again.

use std::io::Write;
use uuid::Uuid;

/// How an id is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Hyphenated,
    Simple,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Tenant,
    /// The owner's 32 bits of an account's id.
    Owner,
    Id {
        after_ms: i64,
        low: u128,
        spelling: Spelling,
    },
    Time {
        after_us: i64,
    },
    Reference,
    /// The number of an event, counted from the transfer's first one.
    Sequence(i64),
}

/// What the gaps of one stored transfer are filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub number: u64,
    pub tenant: u32,
    /// When it was made, in milliseconds since 1970.
    pub at_ms: i64,
    /// The number of its first event.
    pub sequence: i64,
}

/// The transfer that the pattern is taken from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub transfer: Uuid,
    pub tenant: u32,
    pub sequence: i64,
}

/// What a column holds, as far as it makes a difference here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Tenant,
    Reference,
    Sequence,
    /// Microseconds since 1970.
    Time,
    Other,
}

/// One row of the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(Vec<Piece>);

/// Bits of an id that tell stored transfers apart: below them are the tag of derived ids, above them the variant.
const APART_BITS: u32 = 46;
const TAG_BITS: u32 = 16;
/// Odd, so that no two numbers below 2^46 come to the same bits; and far apart, as random ones would be.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;
/// What is random in an id, and what is its time.
const LOW_BITS: u32 = 80;
/// Ids whose time is further from the origin's than this are nobody's here.
const NEAR_MS: i64 = 3_600_000;

impl Origin {
    fn at_ms(&self) -> i64 {
        millisecond(self.transfer)
    }

    /// The id of a stored transfer.
    pub fn id_of(&self, stored: &Stored) -> Uuid {
        filled(0, low(self.transfer), stored)
    }
}

fn millisecond(id: Uuid) -> i64 {
    (id.as_u128() >> LOW_BITS) as i64
}

fn low(id: Uuid) -> u128 {
    id.as_u128() & ((1 << LOW_BITS) - 1)
}

fn filled(after_ms: i64, low: u128, stored: &Stored) -> Uuid {
    let apart = stored.number.wrapping_mul(SCATTER) & ((1 << APART_BITS) - 1);
    let time = (stored.at_ms + after_ms).unsigned_abs();
    Uuid::from_u128((u128::from(time) << LOW_BITS) | (low ^ (u128::from(apart) << TAG_BITS)))
}

/// The reference of a stored transfer.
pub(super) fn reference(number: u64) -> String {
    format!("STORED-{number}")
}

impl Row {
    /// Reads a line of `COPY … TO STDOUT` with these columns.
    pub fn parse(line: &str, columns: &[Column], origin: &Origin) -> Option<Self> {
        let values: Vec<&str> = line.split('\t').collect();
        if values.len() != columns.len() {
            return None;
        }
        let mut pieces = Vec::new();
        for (position, (value, column)) in values.into_iter().zip(columns).enumerate() {
            if position > 0 {
                pieces.push(Piece::Text("\t".to_owned()));
            }
            match column {
                Column::Tenant => pieces.push(Piece::Tenant),
                Column::Reference => pieces.push(Piece::Reference),
                Column::Sequence => pieces.push(Piece::Sequence(value.parse::<i64>().ok()? - origin.sequence)),
                Column::Time if value != "\\N" => {
                    let after_us = value.parse::<i64>().ok()? - origin.at_ms() * 1_000;
                    pieces.push(Piece::Time { after_us });
                }
                Column::Time | Column::Other => texts(value, origin, &mut pieces),
            }
        }
        pieces.push(Piece::Text("\n".to_owned()));
        Some(Self(joined(pieces)))
    }

    /// Appends the row of a stored transfer.
    pub fn write(&self, stored: &Stored, out: &mut Vec<u8>) {
        for piece in &self.0 {
            // Nothing is refused by a vector.
            let _ = match piece {
                Piece::Text(text) => out.write_all(text.as_bytes()),
                Piece::Tenant => write!(out, "{}", stored.tenant),
                Piece::Owner => write!(out, "{:08x}", stored.tenant),
                Piece::Id { after_ms, low, spelling } => {
                    let (id, mut buffer) = (filled(*after_ms, *low, stored), Uuid::encode_buffer());
                    let text = match spelling {
                        Spelling::Hyphenated => id.hyphenated().encode_lower(&mut buffer),
                        Spelling::Simple => id.simple().encode_lower(&mut buffer),
                    };
                    out.write_all(text.as_bytes())
                }
                Piece::Time { after_us } => write_time(stored.at_ms * 1_000 + after_us, out),
                Piece::Reference => out.write_all(reference(stored.number).as_bytes()),
                Piece::Sequence(after) => write!(out, "{}", stored.sequence + after),
            };
        }
    }
}

fn write_time(us: i64, out: &mut Vec<u8>) -> std::io::Result<()> {
    let at = time::OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(us);
    let (hour, minute, second, us) = at.to_hms_micro();
    let (year, month, day) = at.to_calendar_date();
    write!(out, "{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{us:06}+00", u8::from(month))
}

/// Finds ids and accounts in a text: `0193…-…` on their own, `tr_0193…` after a prefix.
fn texts(value: &str, origin: &Origin, pieces: &mut Vec<Piece>) {
    let (mut plain, mut at) = (0, 0);
    while at < value.len() {
        let Some((piece, length)) = id_at(value, at, origin) else {
            at += 1;
            continue;
        };
        pieces.push(Piece::Text(value[plain..at].to_owned()));
        pieces.push(piece);
        at += length;
        plain = at;
    }
    pieces.push(Piece::Text(value[plain..].to_owned()));
}

/// The id that begins at a byte, if one does, and its length.
fn id_at(value: &str, at: usize, origin: &Origin) -> Option<(Piece, usize)> {
    let is_hex = |position: usize| value.as_bytes().get(position).is_some_and(u8::is_ascii_hexdigit);
    let before = at.checked_sub(1).map(|before| value.as_bytes()[before]);
    if !is_hex(at) || before.is_some_and(|before| before.is_ascii_alphanumeric() || before == b'-') {
        return None;
    }
    for (spelling, length) in [(Spelling::Hyphenated, 36), (Spelling::Simple, 32)] {
        let wanted = spelling == Spelling::Hyphenated || before == Some(b'_');
        let Some(text) = value.get(at..at + length).filter(|_| wanted && !is_hex(at + length)) else { continue };
        let Ok(id) = Uuid::try_parse(text) else { continue };
        let after_ms = millisecond(id) - origin.at_ms();
        if id.get_version_num() == 7 && after_ms.abs() < NEAR_MS {
            return Some((Piece::Id { after_ms, low: low(id), spelling }, length));
        }
        // Only the owner changes; what follows is the account's kind and number.
        if spelling == Spelling::Hyphenated && id.get_version_num() == 0 && id.as_u128() >> 96 == origin.tenant.into() {
            return Some((Piece::Owner, 8));
        }
    }
    None
}

/// Texts that follow each other are one.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use settla_domain::effect::EffectKind;
    use settla_domain::id::TransferId;
    use std::collections::HashSet;

    const TRANSFER: Uuid = Uuid::from_u128(0x0193_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001);
    const ORIGIN: Origin = Origin { transfer: TRANSFER, tenant: 7, sequence: 40 };
    const STORED: Stored = Stored { number: 3, tenant: 12, at_ms: 1_700_000_000_123, sequence: 900 };

    fn rendered(value: &str, column: Column) -> String {
        let mut out = Vec::new();
        Row::parse(value, &[column], &ORIGIN).unwrap().write(&STORED, &mut out);
        String::from_utf8(out).unwrap().strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn what_is_the_transfers_own_is_filled_in_and_the_rest_stays() {
        let id = ORIGIN.id_of(&STORED);
        assert_eq!((id.get_version_num(), millisecond(id)), (7, STORED.at_ms));
        assert_eq!(rendered(&TRANSFER.to_string(), Column::Other), id.to_string());
        let spelled = TransferId(id).to_string();
        let data = format!(r#"{{"transfer_id": "{}", "tx": "0x{}"}}"#, TransferId(TRANSFER), "ab".repeat(32));
        assert_eq!(
            rendered(&data, Column::Other),
            format!(r#"{{"transfer_id": "{spelled}", "tx": "0x{}"}}"#, "ab".repeat(32))
        );
        let effect = EffectKind::Settle.id_for(TRANSFER).0.to_string();
        assert_eq!(rendered(&effect, Column::Other), EffectKind::Settle.id_for(id).0.to_string());
        assert_eq!(
            rendered("00000007-0002-0000-0000-000000000000", Column::Other),
            "0000000c-0002-0000-0000-000000000000"
        );
        for same in ["00000000-0065-0000-0000-000000000000", "0193aaaabbbb7ccc8dddeeeeffff0001", "\\N", "", "GBP"] {
            assert_eq!(rendered(same, Column::Other), same);
        }
        assert_eq!(rendered("7", Column::Tenant), "12");
        assert_eq!(rendered("INV-1", Column::Reference), reference(3));
        assert_eq!(rendered("42", Column::Sequence), "902");
        let later = (ORIGIN.at_ms() * 1_000 + 1_500_007).to_string();
        assert_eq!(rendered(&later, Column::Time), "2023-11-14 22:13:21.623007+00");
        assert_eq!(rendered("\\N", Column::Time), "\\N");
        assert_eq!(Row::parse("1\t2", &[Column::Other], &ORIGIN), None);
    }

    #[test]
    fn columns_stay_apart() {
        let row = format!("7\t{TRANSFER}\tx\\ty");
        let columns = [Column::Tenant, Column::Other, Column::Other];
        let mut out = Vec::new();
        Row::parse(&row, &columns, &ORIGIN).unwrap().write(&STORED, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("12\t{}\tx\\ty\n", ORIGIN.id_of(&STORED)));
    }

    #[test]
    fn no_two_have_the_same_id() {
        let ids: HashSet<Uuid> =
            (0..200_000).map(|number| ORIGIN.id_of(&Stored { number: number * 50, ..STORED })).collect();
        assert_eq!(ids.len(), 200_000);
    }
}
