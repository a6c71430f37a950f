"""Every mail vendor's send API and an SMTP server on 127.0.0.1, with faults on order.

    python -m tests.simulator --port 0 --log accepted.tsv

It counts what it accepted by our delivery key, so that a test can say: everybody once, nobody twice. Tests
start it by `tests.simulator.control.simulator`.
"""
