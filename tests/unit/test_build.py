"""Which commit a summary names: read from files, never guessed."""

from agent.build import commit

A, B = "a" * 40, "b" * 40


def checkout(root, head, *, loose=None, packed=None):
    """A folder that looks like a checkout."""
    git = root / ".git"
    (git / "refs/heads").mkdir(parents=True)
    (git / "HEAD").write_text(head)
    if loose:
        (git / "refs/heads/main").write_text(f"{loose}\n")
    if packed:
        (git / "packed-refs").write_text(f"# pack-refs with: peeled\n{packed} refs/heads/main\n")
    return root


def test_a_branch_a_packed_branch_and_a_bare_commit_are_read(tmp_path):
    """The three ways a checkout says where it is; the loose one is newer."""
    assert commit(checkout(tmp_path / "1", "ref: refs/heads/main\n", loose=A, packed=B)) == A
    assert commit(checkout(tmp_path / "2", "ref: refs/heads/main\n", packed=B)) == B
    assert commit(checkout(tmp_path / "3", f"{A}\n")) == A


def test_no_checkout_has_no_commit(tmp_path):
    """An installed package says None rather than something."""
    assert commit(tmp_path) in (None, commit(tmp_path / "elsewhere"))
