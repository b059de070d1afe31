"""Dispatches the frames that a session receives to the methods that handle them."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar, Union

import msgspec

from artcafe_gateway.wire.frames import ClientFrame

_MARK = "__handled_frame__"
Handler = TypeVar("Handler", bound=Callable[[Any, Any], Awaitable[None]])


def handles_frame(frame_type: type[ClientFrame]) -> Callable[[Handler], Handler]:
    """Mark a method of a `FrameDispatcher` as the handler of a frame type."""

    def mark(method: Handler) -> Handler:
        setattr(method, _MARK, frame_type)
        return method

    return mark


class FrameDispatcher:
    """Collects the `@handles_frame` methods of each subclass, and builds the decoder of their frames.

    A subclass inherits its parent's handlers. A handler for a Struct with the same tag replaces the parent's.
    TypeError when a handler's annotation differs from its frame type, or two handle the same tag.
    """

    received_frames: ClassVar[tuple[type[ClientFrame], ...]] = ()
    decoder: ClassVar["msgspec.json.Decoder[Any]"]
    _handlers: ClassVar[dict[type[ClientFrame], str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        inherited = {_tag(frame_type): (frame_type, name) for frame_type, name in cls._handlers.items()}
        own: dict[str, tuple[type[ClientFrame], str]] = {}
        for name, method in vars(cls).items():
            frame_type = getattr(method, _MARK, None)
            if frame_type is None:
                continue
            _, parameter = inspect.signature(method).parameters.values()
            if parameter.annotation is not frame_type:
                raise TypeError(f"{cls.__name__}.{name} does not take {frame_type.__name__}")
            if _tag(frame_type) in own:
                raise TypeError(f"{cls.__name__} handles {_tag(frame_type)!r} twice")
            own[_tag(frame_type)] = (frame_type, name)
        cls._handlers = dict((inherited | own).values())
        cls.received_frames = tuple(cls._handlers)
        cls.decoder = msgspec.json.Decoder(Union[cls.received_frames])  # noqa: UP007 - a tuple of types

    async def dispatch(self, received: Any) -> None:
        """Handle a frame that `decoder` returned."""
        await getattr(self, self._handlers[type(received)])(received)


def _tag(frame_type: type[ClientFrame]) -> str:
    return str(frame_type.__struct_config__.tag)
