from tests.asgi import Spy, call, http_scope

from middleware import ProtocolRouter


async def test_the_application_gets_the_very_scope_and_its_answer_goes_out():
    spy = Spy(returns=7)
    scope = http_scope()
    sent = await call(ProtocolRouter(http=spy), scope)
    assert spy.calls[0][0] is scope
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
