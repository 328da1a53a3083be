"""A binding by the generated client ``qibai_api``: made, read, and one that is refused."""

import os

from qibai_api import AuthenticatedClient
from qibai_api.api.bindings import bind, get_binding, list_bindings
from qibai_api.models import Binding, BindingPage, BindRequest, Mode, Problem, ProblemCode, Status


def main() -> None:
    client = AuthenticatedClient(base_url=os.environ["QIBAI_URL"], token=os.environ["QIBAI_KEY"])
    with client:
        wanted = BindRequest(mode=Mode.AXYB, a="+8613800138001", b="+8613900139002", order_id="generated")
        made = bind.sync(client=client, body=wanted, idempotency_key="generated-1")
        assert isinstance(made, Binding), made
        read = get_binding.sync(made.id, client=client)
        assert isinstance(read, Binding) and (read.x, read.status) == (made.x, Status.ACTIVE), read
        listed = list_bindings.sync(client=client, order_id="generated")
        assert isinstance(listed, BindingPage) and [one.id for one in listed.items] == [made.id], listed
        wanted.a = "123"
        refused = bind.sync(client=client, body=wanted)
        assert isinstance(refused, Problem) and refused.code is ProblemCode.NUMBER_MALFORMED, refused
    print(made.id)


main()
