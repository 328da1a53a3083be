"""A service provider on somebody else's CMPP: `cmppy` (3.0) or `pycmpp` (2.x), each with its own codec.

    cmpp_sp.py cmppy|pycmpp PORT ACCOUNT SECRET SOURCE DESTINATION

Reads a text a line from stdin, JSON, and submits it; both libraries say on stdout what they read.
"""

import json
import logging
import sys
import threading


def by_cmppy(port: int, account: str, secret: str, source: str, destination: str) -> None:
    import cmppy

    for line in sys.stdin:
        # one connection for each submit, as the library has it
        link = cmppy.Cmppy("127.0.0.1", port, account, secret)
        request = cmppy.SubmitReq(
            account, json.loads(line), source, [destination], registered_delivery=1, service_id="QIBAI"
        )
        answer = link.request(request)
        print(f"answer {answer.result if answer else 'none'} {answer.msg_id if answer else 0}", flush=True)


def by_pycmpp(port: int, account: str, secret: str, source: str, destination: str) -> None:
    from pycmpp.cmpp import Cmpp
    from pycmpp.request import SubmitRequestInstance

    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    create = SubmitRequestInstance.create
    # the library leaves Src_Id out of what it submits
    SubmitRequestInstance.create = lambda self, *args, **fields: create(
        self, *args, **{"src_id": source} | fields
    )
    link = Cmpp("127.0.0.1", port, account, secret, source, delivery=1)
    threading.Thread(target=link.run, daemon=True).start()
    for line in sys.stdin:
        link.submit(json.loads(line), [destination])


if __name__ == "__main__":
    kind, port, *rest = sys.argv[1:]
    {"cmppy": by_cmppy, "pycmpp": by_pycmpp}[kind](int(port), *rest)
