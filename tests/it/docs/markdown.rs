//! A page as the tests see it: fenced blocks, headings, links, flags in running text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use aurora_test_support::paths::workspace;

/// What a comment `<!-- docs-test: … -->` right above a block says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// `not run, REASON`: the only way out.
    NotRun(String),
    /// `file NAME`: the reader saves it under this name; later blocks of the page find it there.
    File(String),
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The first word after the fence.
    pub(super) language: String,
    pub(super) text: String,
    /// Of the opening fence, from 1.
    pub(super) line: usize,
    pub(super) mark: Option<Mark>,
}

/// One Markdown file.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// From the root of the source tree.
    pub(super) path: PathBuf,
    pub(super) blocks: Vec<Block>,
    /// Anchors, as GitHub makes them of headings.
    pub(super) anchors: Vec<String>,
    /// Targets of links and pictures, with their lines.
    pub(super) links: Vec<(usize, String)>,
    /// Code in running text, with its lines.
    pub(super) code: Vec<(usize, String)>,
}

impl Page {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(workspace().join(path));
        Self::parse(path, &text.with_context(|| format!("cannot read {}", path.display()))?)
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let mut page = Self {
            path: path.to_owned(),
            blocks: Vec::new(),
            anchors: Vec::new(),
            links: Vec::new(),
            code: Vec::new(),
        };
        let (mut open, mut mark) = (None::<(String, Block)>, None);
        for (index, line) in text.lines().enumerate() {
            let (number, trimmed) = (index + 1, line.trim_start());
            if let Some((fence, mut block)) = open.take() {
                if trimmed.trim_end() == fence {
                    page.blocks.push(block);
                } else {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some((fence, block));
                }
                continue;
            }
            if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
                let fence: String = trimmed.chars().take_while(|it| ['`', '~'].contains(it)).collect();
                let language = trimmed[fence.len()..].split_whitespace().next().unwrap_or_default().to_owned();
                open = Some((fence, Block { language, text: String::new(), line: number, mark: mark.take() }));
                continue;
            }
            ensure!(
                mark.is_none() || trimmed.is_empty(),
                "{}:{number}: a mark must stand right above its block",
                path.display()
            );
            if let Some(said) = trimmed.strip_prefix("<!-- docs-test:") {
                mark = Some(parse_mark(said).with_context(|| format!("{}:{number}", path.display()))?);
                continue;
            }
            if line.starts_with('#') {
                page.heading(line.trim_start_matches('#').trim());
            }
            page.links.extend(targets(line).into_iter().map(|target| (number, target)));
            page.code.extend(spans(line).into_iter().map(|span| (number, span)));
        }
        ensure!(open.is_none(), "{}: a block is not closed", path.display());
        ensure!(mark.is_none(), "{}: a mark without a block", path.display());
        Ok(page)
    }

    fn heading(&mut self, text: &str) {
        let slug: String = text
            .to_lowercase()
            .chars()
            .filter(|it| it.is_alphanumeric() || [' ', '-', '_'].contains(it))
            .map(|it| if it == ' ' { '-' } else { it })
            .collect();
        let same = self.anchors.iter().filter(|anchor| **anchor == slug).count();
        self.anchors.push(if same == 0 { slug } else { format!("{slug}-{same}") });
    }

    /// `path:line`, as editors understand it.
    pub(super) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

fn parse_mark(said: &str) -> Result<Mark> {
    let said = said.trim_end().strip_suffix("-->").context("the mark is not closed on its line")?.trim();
    if let Some(reason) = said.strip_prefix("not run,") {
        ensure!(reason.trim().len() >= 10, "say why it is not run");
        return Ok(Mark::NotRun(reason.trim().to_owned()));
    }
    match said.strip_prefix("file ") {
        Some(name) => Ok(Mark::File(name.trim().to_owned())),
        None => bail!("{said:?} is neither `not run, REASON` nor `file NAME`"),
    }
}

/// Of `[text](target)`, `![text](target)` and `src="target"`.
fn targets(line: &str) -> Vec<String> {
    let line = without_code(line);
    let parts = |open: &str, close: char| -> Vec<String> {
        let mut found = Vec::new();
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once(open) {
            let (target, after) = after.split_once(close).unwrap_or((after, ""));
            found.push(target.split_whitespace().next().unwrap_or_default().to_owned());
            rest = after;
        }
        found
    };
    [parts("](", ')'), parts("src=\"", '"'), parts("srcset=\"", '"')].concat()
}

/// What stands between single backticks.
fn spans(line: &str) -> Vec<String> {
    line.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The line with its code blanked; the link text may be code, its target is not.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("code")
}

/// The pages that are held to this: what a user reads.
pub(super) fn pages() -> Result<BTreeMap<PathBuf, Page>> {
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CONTRIBUTING.md"), PathBuf::from("CHANGELOG.md")];
    paths.extend(files("docs", "md")?);
    paths.extend(files("deploy", "md")?);
    paths.into_iter().map(|path| Ok((path.clone(), Page::read(&path)?))).collect()
}

/// All files below `dir` whose names end so, from the root of the source tree.
pub(super) fn files(dir: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![PathBuf::from(dir)]);
    while let Some(dir) = open.pop() {
        let entries =
            std::fs::read_dir(workspace().join(&dir)).with_context(|| format!("cannot list {}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn a_page_is_taken_apart() -> Result<()> {
    let text = "# The `plan`, and more\n\n## More\n## More\nSee [`x`](a.md#b) and ![p](p.svg), `--flag`.\n\n<!-- docs-test: file o.yaml -->\n\n```yaml\na: 1\n```\n```sh\ntrue\n```\n";
    let page = Page::parse(Path::new("x.md"), text)?;
    assert_eq!(page.anchors, ["the-plan-and-more", "more", "more-1"]);
    assert_eq!(page.links, [(5, "a.md#b".to_owned()), (5, "p.svg".to_owned())]);
    assert!(page.code.contains(&(5, "--flag".to_owned())), "{:?}", page.code);
    assert_eq!(page.blocks[0].mark, Some(Mark::File("o.yaml".into())));
    assert_eq!((page.blocks[0].text.as_str(), page.blocks[0].line), ("a: 1\n", 9));
    assert_eq!((page.blocks[1].language.as_str(), &page.blocks[1].mark), ("sh", &None));
    for (wrong, why) in [
        ("<!-- docs-test: not run, no -->\n```sh\n```\n", "say why"),
        ("<!-- docs-test: skip -->\n```sh\n```\n", "neither"),
        ("<!-- docs-test: file x -->\ntext\n", "right above"),
        ("```sh\n", "not closed"),
    ] {
        let error = format!("{:#}", Page::parse(Path::new("x.md"), wrong).expect_err(wrong));
        assert!(error.contains(why), "{wrong}: {error}");
    }
    Ok(())
}
