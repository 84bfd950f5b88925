//! JSON indented without a change of its order: documents are shown as IAM returned them.

/// Indents `json`, which must be valid, by two spaces a level; empty lists and objects stay on one line.
pub(crate) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    let mut compact = without_space(json).into_iter().peekable();
    while let Some(character) = compact.next() {
        if in_string {
            out.push(character);
            in_string = character != '"' || escaped;
            escaped = character == '\\' && !escaped;
            continue;
        }
        match character {
            '{' | '[' => {
                out.push(character);
                if let Some(close) = compact.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                out.push(character);
                in_string = character == '"';
            }
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// The characters of `json` but for the space between its tokens.
fn without_space(json: &str) -> Vec<char> {
    let (mut in_string, mut escaped) = (false, false);
    let kept = json.chars().filter(|character| {
        if in_string {
            in_string = *character != '"' || escaped;
            escaped = *character == '\\' && !escaped;
            return true;
        }
        in_string = *character == '"';
        !character.is_whitespace()
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_strings_stay_as_they_are() {
        let json = r#"{"b": [1,{}, []],"a":"x, {\"y\" : 1}\\"}"#;
        let expected = "{\n  \"b\": [\n    1,\n    {},\n    []\n  ],\n  \"a\": \"x, {\\\"y\\\" : 1}\\\\\"\n}";
        assert_eq!(indented(json), expected);
        assert_eq!(indented(expected), expected);
    }
}
