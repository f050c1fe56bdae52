//! The page as one file: style, script and data inside, nothing fetched.

use super::Page;

impl Page {
    /// The whole HTML text.
    pub fn html(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_else(|_| "{}".into());
        // The data stands in a script element: `</script>` or `<!--` inside a strategy's name must not end it.
        let json = json.replace('<', "\\u003c");
        include_str!("template.html")
            .replace("{{title}}", &escape(&self.title))
            .replace("{{css}}", include_str!("report.css"))
            .replace("{{js}}", include_str!("report.js"))
            .replace("{{data}}", &json)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
