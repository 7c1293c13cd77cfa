"""Signing people in by OpenID Connect: authorization code with PKCE. One service mounts this for all.

Signing out ends our session alone and not the provider's: the content security policy lets no form lead to
another host.
"""

import re
import warnings
from typing import Annotated, Any

import authlib.deprecate
import httpx
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shared.bounded_client import BoundedClient
from shared.clock import machine_now
from shared.logs import get_logger
from shared.settings import CoreSettings
from shared.web.bodies import EmptyForm, read_form
from shared.web.problems import Problem
from shared.web.redirects import safe_next
from shared.web.sealed import Sealer
from shared.web.session import Person
from shared.web.state import web_state

with warnings.catch_warnings():
    # Authlib asks for httpx2 at import; it works with the httpx that the other parts use.
    warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.httpx_client import AsyncOAuth2Client
    from authlib.integrations.starlette_client import OAuth, StarletteOAuth2App
    from joserfc.errors import JoseError

_FLOW_COOKIE = "signing-in"
_FLOW_SECONDS = 10 * 60
_PROVIDER_SECONDS = 3.0  # below REQUEST_SECONDS, so that people read whose fault it is
_PROVIDER_BYTES = 1 << 18
# What we use of the provider's metadata, and when Authlib fetched it.
_METADATA = frozenset(
    {
        "_loaded_at",
        "authorization_endpoint",
        "id_token_signing_alg_values_supported",
        "issuer",
        "jwks",
        "jwks_uri",
        "token_endpoint",
        "userinfo_endpoint",
    }
)
# What Authlib raises for answers of the provider: its own errors, and whatever junk makes its parsing meet.
_BAD_ANSWERS = (
    *(AuthlibBaseError, JoseError, httpx.HTTPError),
    *(ValueError, TypeError, LookupError, AttributeError, RecursionError),
)
_ROLE = re.compile(r"[a-z][a-z-]{0,31}")
_UNIT = re.compile(r"[a-z0-9-]{1,64}")
_log = get_logger(__name__)

router = APIRouter(include_in_schema=False)


class _ProviderClient(BoundedClient, AsyncOAuth2Client):  # type: ignore[misc]
    """Authlib's client with bounded answers."""


class _Provider(StarletteOAuth2App):  # type: ignore[misc]
    """Authlib's view of the provider, with our client."""

    client_cls = _ProviderClient

    async def load_server_metadata(self) -> dict[str, Any]:
        """What we use of the metadata. Authlib hands all of it to its client as options.

        So `"verify": false` or `"event_hooks": {}` in it would take away what protects us from the answers.
        """
        metadata: dict[str, Any] = await super().load_server_metadata()
        for name in metadata.keys() - _METADATA:
            del metadata[name]
        return metadata


class SignInFlow:
    """The way to the provider and back; its state travels in a sealed cookie of its own.

    Parameters
    ----------
    settings
        Without OIDC_ISSUER every sign-in answers 503.
    """

    def __init__(self, settings: CoreSettings) -> None:
        self._issuer = settings.oidc_issuer.rstrip("/") if settings.oidc_issuer else None
        self._callback = f"{settings.public_url}/login/callback"
        self._secure = settings.https
        self._sealer = Sealer(settings.key("sign-in"), "sign-in")
        secret = settings.oidc_client_secret
        self._provider: Any = OAuth().register(
            "provider",
            client_cls=_Provider,
            client_id=settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            server_metadata_url=f"{self._issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid profile",
                "code_challenge_method": "S256",
                "timeout": _PROVIDER_SECONDS,
                "seconds": _PROVIDER_SECONDS,
                "most_bytes": _PROVIDER_BYTES,
            },
        )

    async def begin(self, request: Request) -> Response:
        """The redirect to the provider. Raises Problem 503 if the provider cannot be used."""
        await self._check_provider()
        remembered: dict[str, Any] = {}
        request.scope["session"] = remembered  # where Authlib keeps the flow's state
        response: Response = await self._provider.authorize_redirect(request, self._callback)
        sealed = self._sealer.seal(
            {"next": safe_next(request.query_params.get("next")), "flow": remembered}, _FLOW_SECONDS
        )
        response.set_cookie(
            _FLOW_COOKIE,
            sealed,
            max_age=_FLOW_SECONDS,
            path="/login",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )
        return response

    async def finish(self, request: Request) -> tuple[Person, str]:
        """The person by the provider's answer, and the path to continue at.

        Raises Problem 400 if the answer is not valid or belongs to another flow, 503 if the provider cannot
        be used.
        """
        remembered = self._sealer.open(request.cookies.get(_FLOW_COOKIE, ""))
        if remembered is None:
            raise _failed("The sign-in took too long, or was begun in another browser.")
        await self._check_provider()
        request.scope["session"] = remembered["flow"]
        try:
            token = await self._provider.authorize_access_token(request)
            claims = dict(token.get("userinfo") or {})
            if not claims.get("sub"):
                raise _failed("The provider did not say who you are.")
            # Providers send roles in the ID token or only in userinfo.
            more = await self._provider.userinfo(token=token)
        except _BAD_ANSWERS as error:
            _log.warning("a sign-in failed", error=type(error).__name__, reason=str(error)[:200])
            raise _failed("The provider refused, or its answer was not valid.") from None
        if more.get("sub") != claims["sub"]:  # OpenID Connect Core 5.3.2
            raise _failed("The provider's answers name two people.")
        return _person(claims | dict(more)), safe_next(remembered["next"])

    def forget(self, response: Response) -> None:
        """Delete the flow's cookie."""
        response.delete_cookie(
            _FLOW_COOKIE, path="/login", secure=self._secure, httponly=True, samesite="lax"
        )

    async def _check_provider(self) -> None:
        """Loads the provider's metadata once. Raises Problem 503 if there is none, or of another issuer."""
        if self._issuer is None:
            raise Problem(
                503, "no-sign-in", "Signing in is not set up here", "The operator has to set OIDC_ISSUER."
            )
        try:
            metadata = await self._provider.load_server_metadata()
        except _BAD_ANSWERS as error:
            _log.warning(
                "the sign-in provider does not answer", issuer=self._issuer, reason=repr(error)[:200]
            )
            raise Problem(
                503,
                "sign-in-down",
                "Signing in does not work at the moment",
                "The provider does not answer. Try again in some minutes.",
                headers={"Retry-After": "60"},
            ) from None
        if str(metadata.get("issuer", "")).rstrip("/") != self._issuer:
            raise Problem(
                503, "wrong-issuer", "Signing in is set up wrongly", "The provider names another issuer."
            )


async def sign_in_flow(request: Request) -> SignInFlow:
    """The flow of this application, created at its first sign-in: it keeps the provider's metadata."""
    state = request.app.state
    if not hasattr(state, "sign_in_flow"):
        state.sign_in_flow = SignInFlow(web_state(request).settings)
    flow: SignInFlow = state.sign_in_flow
    return flow


Flow = Annotated[SignInFlow, Depends(sign_in_flow)]


@router.get("/login")
async def sign_in(request: Request, flow: Flow) -> Response:
    """Sends the browser to the provider; `?next=` is the path to continue at."""
    return await flow.begin(request)


@router.get("/login/callback")
async def signed_in(request: Request, flow: Flow) -> Response:
    """Takes the provider's answer, sets the session and continues where the sign-in began."""
    person, path = await flow.finish(request)
    response = RedirectResponse(path, 303)
    web_state(request).sessions.sign_in(response, person)
    flow.forget(response)
    return response


@router.post("/logout")
async def sign_out(request: Request) -> Response:
    """Ends the session in this browser."""
    await read_form(request, EmptyForm)
    response = RedirectResponse("/", 303)
    web_state(request).sessions.sign_out(response)
    return response


def _failed(detail: str) -> Problem:
    return Problem(400, "sign-in-failed", "You could not be signed in", f"{detail} Begin again at /login.")


def _person(claims: dict[str, Any]) -> Person:
    subject = str(claims["sub"])
    roles = claims.get("roles")
    unit = claims.get("unit")
    return Person(
        subject=subject[:200],
        name=str(claims.get("name") or claims.get("preferred_username") or subject)[:80],
        roles=frozenset(
            role
            for role in (roles if isinstance(roles, list) else [])
            if isinstance(role, str) and _ROLE.fullmatch(role)
        ),
        unit=unit if isinstance(unit, str) and _UNIT.fullmatch(unit) else None,
        signed_in=machine_now().replace(microsecond=0),
    )
