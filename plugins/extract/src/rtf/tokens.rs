//! The syntax of RTF: groups, control words and symbols, bytes.

/// A piece of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Open,
    Close,
    /// `\fs24`: its name and number.
    Word(&'a [u8], Option<i32>),
    /// `\~`: what follows the backslash.
    Symbol(u8),
    /// `\'e9`: a byte of a code page.
    Byte(u8),
    Text(&'a [u8]),
}

/// The tokens of a file.
pub(super) struct Tokens<'a>(&'a [u8]);

impl<'a> Tokens<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn split(&mut self, at: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(at.min(self.0.len()));
        self.0 = rest;
        head
    }

    fn control(&mut self) -> Option<Token<'a>> {
        self.split(1);
        let letters = self.0.iter().take(32).take_while(|byte| byte.is_ascii_alphabetic()).count();
        if letters == 0 {
            let symbol = *self.split(1).first()?;
            if symbol != b'\'' {
                return Some(Token::Symbol(symbol));
            }
            let digits = std::str::from_utf8(self.0.get(..2).unwrap_or_default()).unwrap_or_default();
            let byte = u8::from_str_radix(digits, 16);
            if byte.is_ok() {
                self.split(2);
            }
            return Some(byte.map_or(Token::Symbol(b'\''), Token::Byte));
        }
        let name = self.split(letters);
        let sign = usize::from(self.0.first() == Some(&b'-'));
        let digits = self.0.iter().skip(sign).take(10).take_while(|byte| byte.is_ascii_digit()).count();
        let number = if digits > 0 { std::str::from_utf8(self.split(sign + digits)).ok()?.parse().ok() } else { None };
        if self.0.first() == Some(&b' ') {
            self.split(1);
        }
        // Binary data of this length follows.
        if name == b"bin" {
            self.split(number.unwrap_or(0_i32).max(0) as usize);
        }
        Some(Token::Word(name, number))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            return match self.0.first()? {
                b'{' => {
                    self.split(1);
                    Some(Token::Open)
                }
                b'}' => {
                    self.split(1);
                    Some(Token::Close)
                }
                b'\\' => self.control(),
                // Line ends only keep the lines of the file short.
                b'\r' | b'\n' => {
                    self.split(1);
                    continue;
                }
                _ => {
                    let end = self.0.iter().position(|byte| b"{}\\\r\n".contains(byte)).unwrap_or(self.0.len());
                    Some(Token::Text(self.split(end)))
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_is_read_whatever_stands_in_it() {
        let tokens: Vec<_> = Tokens::new(b"{\\b1 x\\'e9\\~\\u-4\n?}\\bin3 }}}\\'zz").collect();
        let wanted = [
            Token::Open,
            Token::Word(b"b", Some(1)),
            Token::Text(b"x"),
            Token::Byte(0xe9),
            Token::Symbol(b'~'),
            Token::Word(b"u", Some(-4)),
            Token::Text(b"?"),
            Token::Close,
            Token::Word(b"bin", Some(3)),
            Token::Symbol(b'\''),
            Token::Text(b"zz"),
        ];
        assert_eq!(tokens, wanted);
    }
}
