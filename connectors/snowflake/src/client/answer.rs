//! Answers of Snowflake, which are undocumented: nothing in them is relied on to be there.

use crate::error::Fault;
use crate::error::own;
use serde_json::Value;

/// An answer of any form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    value: Value,
    /// Whether the request had to be sent more than once, so that this may be the answer to a second run.
    pub(crate) resent: bool,
}

impl Answer {
    pub(super) fn read(value: Value) -> Answer {
        Answer { value, resent: false }
    }

    /// From the bytes of a body. One that is cut off is no answer.
    pub(super) fn parse(body: &[u8]) -> Result<Answer, Fault> {
        serde_json::from_slice(body).map(Answer::read).map_err(|_| Fault::new(own::UNREADABLE, ""))
    }

    /// The answer, if it says that all went well.
    pub(super) fn succeeded(self) -> Result<Answer, Fault> {
        match self.value["success"].as_bool() {
            Some(true) => Ok(self),
            Some(false) => Err(Fault::from_answer(0, &self.value)),
            // Without a word about success, a code is a failure and data is none.
            None if !self.value["code"].is_null() => Err(Fault::from_answer(0, &self.value)),
            None if self.value["data"].is_object() => Ok(self),
            None => Err(Fault::new(own::UNREADABLE, "")),
        }
    }

    /// Whether the statement still runs, and where to ask again.
    pub(super) fn pending(&self) -> Option<&str> {
        let code = &self.value["code"];
        let code = code.as_str().map(str::to_owned).unwrap_or_else(|| code.to_string());
        if code == "333333" || code == "333334" { Some(self.text("getResultUrl").unwrap_or_default()) } else { None }
    }

    /// A text of the answer's data.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.value["data"][key].as_str().filter(|text| !text.is_empty())
    }

    /// The answer's data.
    pub(crate) fn data(&self) -> &Value {
        &self.value["data"]
    }

    /// The rows that came with the answer itself.
    pub(super) fn take_rows(&mut self) -> Vec<Vec<Option<String>>> {
        match self.value["data"]["rowset"].take() {
            Value::Array(rows) => rows.into_iter().map(cells).collect(),
            _ => Vec::new(),
        }
    }
}

/// One row, whatever form its cells have.
pub(super) fn cells(row: Value) -> Vec<Option<String>> {
    let cell = |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    match row {
        Value::Array(cells) => cells.into_iter().map(cell).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_of_any_form_are_read() {
        let mut answer =
            Answer::read(json!({"success": true, "data": {"rowset": [["1", null, 2, true], 7], "token": "t"}}));
        assert_eq!(answer.text("token"), Some("t"));
        assert_eq!(answer.text("masterToken"), None);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(answer.take_rows(), [vec![text("1"), None, text("2"), text("true")], vec![]]);
        assert!(answer.succeeded().is_ok());
        for empty in [json!(null), json!([]), json!({}), json!({"data": null})] {
            assert_eq!(Answer::read(empty.clone()).succeeded().unwrap_err().code, own::UNREADABLE, "{empty}");
        }
        assert_eq!(Answer::read(json!({"code": "002003", "data": {}})).succeeded().unwrap_err().code, "002003");
        assert_eq!(Answer::read(json!({"success": false})).succeeded().unwrap_err().code, "");
        assert!(Answer::parse(b"{\"success\": tr").is_err());
        let pending = Answer::read(json!({"success": true, "code": 333334, "data": {"getResultUrl": "/x"}}));
        assert_eq!(pending.pending(), Some("/x"));
        assert_eq!(Answer::read(json!({"success": true, "code": null, "data": {}})).pending(), None);
    }
}
