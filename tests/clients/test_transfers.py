"""Files that arrive over a connection: rsync, sftp, Samba, browsers and synchronisers."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from clients.watched import PATIENCE, Drop, Watched, sequence

SFTP_SERVER = "/usr/lib/openssh/sftp-server"


@sequence("rsync")
def test_rsync_partial_resumed(drop: Drop) -> None:
    """A transfer that breaks off leaves half a file under the final name. The half stays there until the rest has arrived."""
    source, target = drop.picture(side=600), drop.inbox / "hero.png"
    half = drop.outside / "half.png"
    half.write_bytes(source.read_bytes()[:500_000])
    drop.run("rsync", "--partial", "--no-times", half, target)  # like `rsync --partial` when its connection breaks
    drop.wait_for("fault: incomplete", target)
    drop.run("rsync", "--partial", "--no-whole-file", "--ignore-times", source, target)
    drop.expect(target, source)


@sequence("rsync", "timeout")
def test_rsync_partial_interrupted(drop: Drop) -> None:
    """rsync itself is stopped in the middle, leaves half a file under the final name, and is started again."""
    source, target = drop.picture(side=600), drop.inbox / "hero.png"
    drop.run("timeout", "-s", "INT", "2", "rsync", "--partial", "--bwlimit=256", source, target, ends_with=(124, 20))
    assert 0 < target.stat().st_size < source.stat().st_size
    drop.run("rsync", "--partial", "--bwlimit=512", source, target)
    drop.expect(target, source)


@sequence("rsync")
def test_rsync(drop: Drop) -> None:
    """rsync uses a hidden temporary name, then a rename."""
    source = drop.picture(side=600)
    drop.run("rsync", "--times", "--bwlimit=512", source, drop.inbox)
    drop.expect(drop.inbox / "hero.png", source)


@sequence("rsync")
def test_rsync_inplace(drop: Drop) -> None:
    """The file is written slowly under the final name."""
    source = drop.picture(side=600)
    drop.run("rsync", "--inplace", "--times", "--bwlimit=256", source, drop.inbox)
    drop.expect(drop.inbox / "hero.png", source)


@sequence("rsync")
def test_rsync_inplace_over_an_older_version(drop: Drop) -> None:
    """Only different blocks are overwritten, after work on the old file has started."""
    rsync = "rsync --existing --inplace --no-whole-file --ignore-times --bwlimit=512 $1 $2; cmp $1 $2"
    drop.save_during_the_work("hero.tif", partial(drop.shell, rsync), drop.tiff)


@sequence("rsync")
def test_rsync_delayed_updates(drop: Drop) -> None:
    """All files wait in a hidden folder and are renamed at the end."""
    for number in range(20):
        source = drop.picture(f"series/hero{number:02d}.png", side=200)
        drop.expect(drop.inbox / "series" / source.name, source)
    drop.run("rsync", "--recursive", "--delay-updates", "--bwlimit=1024", drop.outside / "series", drop.inbox)


@sequence("rsync")
def test_rsync_of_a_tree(drop: Drop) -> None:
    """Archive mode keeps the times and modes of files and folders."""
    for number in range(30):
        source = drop.picture(f"series/{number % 3}/hero{number:02d}.png", side=60)
        os.utime(source, (1_500_000_000 + number, 1_500_000_000 + number))
        drop.expect(drop.inbox / "series" / str(number % 3) / source.name, source)
    drop.run("rsync", "--archive", drop.outside / "series", drop.inbox)


@sequence("sftp", SFTP_SERVER)
def test_sftp(drop: Drop) -> None:
    """The file is written under the final name, block by block."""
    source = drop.picture(side=600)
    _sftp(drop, f"put {source} {drop.inbox}/hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence("sftp", SFTP_SERVER)
def test_sftp_resumed(drop: Drop) -> None:
    """An upload that broke off continues in the same file."""
    source, target = drop.picture(side=600), drop.inbox / "hero.png"
    half = drop.outside / "half.png"
    half.write_bytes(source.read_bytes()[:400_000])
    _sftp(drop, f"put {half} {target}")
    drop.wait_for("fault: incomplete", target)
    _sftp(drop, f"reput {source} {target}")
    drop.expect(target, source)


@sequence("sftp", SFTP_SERVER)
def test_sftp_under_a_temporary_name(drop: Drop) -> None:
    """WinSCP and FileZilla upload to NAME.filepart, then rename it."""
    source = drop.picture(side=600)
    _sftp(drop, f"put -p {source} {drop.inbox}/hero.png.filepart", f"rename {drop.inbox}/hero.png.filepart {drop.inbox}/hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence("scp", SFTP_SERVER)
def test_scp(drop: Drop) -> None:
    """The file is written under the final name, and gets its times at the end."""
    source = drop.picture(side=600)
    drop.run("scp", "-q", "-p", "-D", SFTP_SERVER, source, f"nowhere:{drop.inbox}/hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence("smbd", "smbclient")
def test_a_samba_share(drop: Drop) -> None:
    """smbd creates the file, pauses, fills it and sets its attributes at the end; a Mac's companion files are beside it."""
    source = drop.picture(side=600)
    (drop.outside / "companion").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    with _share(drop) as client:
        drop.run(*client, "put companion ._hero.png; put hero.png hero.png; put companion .DS_Store")
        drop.expect(drop.inbox / "hero.png", source)
        for number in range(10):
            drop.expect(drop.inbox / "series" / f"hero{number}.png", drop.picture(f"series/hero{number}.png", side=100))
        drop.run(*client, "prompt off; recurse on; mkdir series; cd series; lcd series; mput *.png")


@sequence("smbd", "smbclient")
def test_a_samba_share_and_a_rename(drop: Drop) -> None:
    """The file is uploaded under one name and renamed on the share."""
    source = drop.picture(side=300)
    with _share(drop) as client:
        drop.run(*client, "put hero.png hero.png.upload; rename hero.png.upload hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence()
def test_the_explorer(drop: Drop) -> None:
    """The Explorer creates an empty file, waits 1.5 s, sets the full size at once, and then writes the data."""
    source = drop.tiff()
    drop.replay("explorer", source, drop.inbox / "hero.tif")
    drop.expect(drop.inbox / "hero.tif", source)


@sequence()
def test_the_finder(drop: Drop) -> None:
    """The Finder writes a companion before and after the picture, and a .DS_Store. Only the picture is taken."""
    source = drop.picture(side=300)
    drop.replay("finder", source, drop.inbox / "hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence()
def test_firefox(drop: Drop) -> None:
    """An empty file reserves the name during the download."""
    source = drop.picture(side=300)
    drop.replay("firefox", source, drop.inbox / "hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence()
def test_chromium(drop: Drop) -> None:
    """The download has a name of its own."""
    source = drop.picture(side=300)
    drop.replay("chromium", source, drop.inbox / "hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence()
def test_syncthing(drop: Drop) -> None:
    """A hidden temporary file of the final size is renamed when it is complete."""
    source = drop.picture(side=300)
    drop.replay("syncthing", source, drop.inbox / "hero.png")
    drop.expect(drop.inbox / "hero.png", source)


@sequence("curl")
def test_a_download_continued_by_curl(drop: Drop) -> None:
    """`curl -C -` appends the rest of a file."""
    source, target = drop.picture(side=600), drop.inbox / "hero.png"
    target.write_bytes(source.read_bytes()[:700_000])
    drop.wait_for("fault: incomplete", target)
    drop.run("curl", "-s", "-C", "-", "-o", target, source.as_uri())
    drop.expect(target, source)


def test_nothing_else_was_taken(watched: Watched) -> None:
    """After all files have arrived, the record holds each file once and nothing else, and all of them were found by events."""
    watched.verify_all()


def _sftp(drop: Drop, *commands: str) -> None:
    """Run sftp over a pipe, without a network, a key or a server."""
    drop.run("sftp", "-q", "-b", "-", "-D", SFTP_SERVER, text="\n".join(commands))


@contextmanager
def _share(drop: Drop) -> Iterator[tuple[str | Path, ...]]:
    """Serve the campaign as a share; yield the first words of a call of smbclient. Each connection has its own smbd, as with inetd."""
    folder = drop.outside / "samba"
    folder.mkdir()
    conf = folder / "smb.conf"
    directories = "".join(f"{kind} directory = {folder}\n" for kind in ("lock", "state", "cache", "pid"))
    conf.write_text(
        f"[global]\n{directories}private dir = {folder}\nncalrpc dir = {folder}/ncalrpc\nlog file = {folder}/log\nmap to guest = Bad User\n"
        f"guest account = {_user()}\nload printers = no\ndisable spoolss = yes\nserver min protocol = SMB2\n"
        f"[share]\npath = {drop.inbox}\nguest ok = yes\nread only = no\n"
    )
    servers: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=_answer, args=(listener, conf, servers), daemon=True)
        acceptor.start()
        try:
            port = str(listener.getsockname()[1])
            yield ("smbclient", "-N", "-s", conf, "-p", port, "//127.0.0.1/share", "-c")
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(PATIENCE)
            for server in servers:
                server.terminate()
                server.wait(PATIENCE)


def _answer(listener: socket.socket, conf: Path, servers: list[subprocess.Popen[bytes]]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            words = ["smbd", "--configfile", str(conf)]
            servers.append(subprocess.Popen(words, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL, start_new_session=True))


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
