"""Every mail vendor's send API and an SMTP server on 127.0.0.1, with faults on order.

    python -m tests.simulator --port 0 --log accepted.tsv

It counts what it accepted by our delivery key, so that a test can say: everybody once, nobody twice. A
message without such a key, or a call larger than the vendor takes, is refused and named in the state.

    with simulator(tmp_path / "accepted.tsv") as vendor:  # tests.simulator.control
        vendor.faults([{"vendor": "mailgun", "effect": "reset_after", "probability": 0.1, "seed": 7}])
        ...  # base_url = vendor.url("mailgun")
        assert set(vendor.accepted().values()) == {1}

`faults.py` has the effects and the fields of a rule; the control plane is `POST` and `DELETE /_faults`,
`GET /_state`, `GET /_accepted` and `POST /_reset`. A new type in `distributor.vendors` needs a class in
`vendors.py` here.
"""
