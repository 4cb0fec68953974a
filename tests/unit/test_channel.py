"""Messages between launcher and worker arrive whole and in order, whatever the socket does with their bytes."""

from __future__ import annotations

import os
import select
import socket
import threading
import time

import pytest

from balsam_core.launcher.channel import Channel, Message


def make_pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return Channel(one.detach()), Channel(other.detach())


def receive(channel: Channel, count: int) -> list[Message]:
    messages: list[Message] = []
    until = time.monotonic() + 30
    while len(messages) < count and time.monotonic() < until:
        select.select([channel], [], [], 1)
        messages += channel.receive()
    return messages


def test_messages_arrive_in_order_and_keep_their_types() -> None:
    one, other = make_pair()
    sent: list[Message] = [("start", [("a.1", ["/bin/true"], {"A": None}, 1.5, True)]), ("kill", ["a.1"], 0.0), ()]
    one.put(sent[:2])
    one.put(sent[2:])
    one.drain(5)
    assert receive(other, 3) == sent


def test_names_that_are_not_utf8_survive() -> None:
    one, other = make_pair()
    name = os.fsdecode(b"/tmp/\xff\xfe")
    one.put([("start", name)])
    one.drain(5)
    assert receive(other, 1) == [("start", name)]


def test_nothing_there_is_an_empty_answer_and_not_a_wait() -> None:
    one, _ = make_pair()
    assert one.receive() == []
    assert not one.is_closed


def test_a_message_that_comes_byte_by_byte_is_handed_out_once_it_is_whole() -> None:
    ours, theirs = socket.socketpair()
    sender, probe = make_pair()
    sender.put([("started", "a.1", 17)])
    sender.drain(5)
    frame = os.read(probe.fileno(), 1000)
    channel = Channel(ours.detach())
    answers = []
    for byte in frame:
        theirs.send(bytes([byte]))
        answers.append(channel.receive())
    assert answers == [[]] * (len(frame) - 1) + [[("started", "a.1", 17)]]


def test_a_hang_up_shows_after_the_last_message() -> None:
    one, other = make_pair()
    one.put([("last",)])
    one.drain(5)
    one.close()
    assert receive(other, 1) == [("last",)]
    assert other.receive() == []
    assert other.is_closed


def test_sending_to_one_who_hung_up_drops_the_message() -> None:
    one, other = make_pair()
    other.close()
    one.put([("start", "x" * 10_000_000)])
    one.drain(5)
    assert not one.has_unsent


def test_two_ends_that_both_send_large_batches_do_not_lock() -> None:
    ends = make_pair()
    batch: list[Message] = [(str(number) * 200, number) for number in range(5_000)]
    received: dict[Channel, list[Message]] = {}

    def exchange(end: Channel) -> None:
        end.put(batch)
        end.drain(30)
        received[end] = receive(end, len(batch))

    threads = [threading.Thread(target=exchange, args=(end,), daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert [received[end] == batch for end in ends] == [True, True]


def test_an_end_that_never_reads_is_given_up_after_the_deadline() -> None:
    one, _other = make_pair()
    one.put([("x" * 10_000_000,)])
    with pytest.raises(TimeoutError, match=r"has not read for 0\.2 s"):
        one.drain(0.2)


def test_flush_does_not_wait_for_a_full_socket() -> None:
    one, other = make_pair()
    one.put([("x" * 10_000_000,)])
    one.flush()
    assert one.has_unsent
    messages: list[Message] = []
    while one.has_unsent or not messages:
        messages += other.receive()
        one.flush()
    assert messages == [("x" * 10_000_000,)]
