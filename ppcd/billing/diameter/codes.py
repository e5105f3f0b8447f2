"""The numbers of RFC 6733 and RFC 8506 that a one-off debit needs, by their names in the RFCs."""

from enum import Enum, IntEnum, auto
from typing import Final

#: Diameter Credit-Control, in the header and in Auth-Application-Id.
CREDIT_CONTROL: Final = 4
#: What a relay advertises: all applications.
RELAY: Final = 0xFFFFFFFF
BASE: Final = 0


class Flag(IntEnum):
    """Command flags: RFC 6733, 3."""

    REQUEST = 0x80
    PROXIABLE = 0x40
    ERROR = 0x20
    #: T: this request may have been received before.
    RETRANSMITTED = 0x10


class AvpFlag(IntEnum):
    """RFC 6733, 4.1."""

    VENDOR = 0x80
    MANDATORY = 0x40


class Command(IntEnum):
    CAPABILITIES_EXCHANGE = 257
    CREDIT_CONTROL = 272
    DEVICE_WATCHDOG = 280
    DISCONNECT_PEER = 282


class Code(IntEnum):
    """AVP codes."""

    EVENT_TIMESTAMP = 55
    HOST_IP_ADDRESS = 257
    AUTH_APPLICATION_ID = 258
    VENDOR_SPECIFIC_APPLICATION_ID = 260
    SESSION_ID = 263
    ORIGIN_HOST = 264
    VENDOR_ID = 266
    RESULT_CODE = 268
    PRODUCT_NAME = 269
    DISCONNECT_CAUSE = 273
    FAILED_AVP = 279
    ERROR_MESSAGE = 281
    DESTINATION_REALM = 283
    DESTINATION_HOST = 293
    ORIGIN_REALM = 296
    TERMINATION_CAUSE = 295
    EXPERIMENTAL_RESULT = 297
    EXPERIMENTAL_RESULT_CODE = 298
    CC_MONEY = 413
    CC_REQUEST_NUMBER = 415
    CC_REQUEST_TYPE = 416
    CHECK_BALANCE_RESULT = 422
    CURRENCY_CODE = 425
    EXPONENT = 429
    GRANTED_SERVICE_UNIT = 431
    RATING_GROUP = 432
    REQUESTED_ACTION = 436
    REQUESTED_SERVICE_UNIT = 437
    SERVICE_IDENTIFIER = 439
    SUBSCRIPTION_ID = 443
    SUBSCRIPTION_ID_DATA = 444
    UNIT_VALUE = 445
    USED_SERVICE_UNIT = 446
    VALUE_DIGITS = 447
    SUBSCRIPTION_ID_TYPE = 450
    MULTIPLE_SERVICES_CREDIT_CONTROL = 456
    SERVICE_CONTEXT_ID = 461


class Action(IntEnum):
    """Requested-Action: RFC 8506, 8.41."""

    DIRECT_DEBITING = 0
    REFUND_ACCOUNT = 1
    CHECK_BALANCE = 2


class Step(Enum):
    """The requests of a session, for payments in two steps: RFC 8506, 5."""

    #: INITIAL_REQUEST: the money is held.
    RESERVE = auto()
    #: TERMINATION_REQUEST: all of it was used.
    CAPTURE = auto()
    #: TERMINATION_REQUEST: nothing was used.
    RELEASE = auto()

    @property
    def number(self) -> int:
        """CC-Request-Number: a session has one end, whichever it is."""
        return 0 if self is Step.RESERVE else 1


INITIAL_REQUEST: Final = 1
TERMINATION_REQUEST: Final = 3
#: Termination-Cause: the service was ended as it should be.
LOGOUT: Final = 1
#: CC-Request-Type EVENT_REQUEST; its CC-Request-Number is 0.
EVENT_REQUEST: Final = 4
END_USER_E164: Final = 0


class Result(IntEnum):
    """Result-Code: RFC 6733, 7.1 and RFC 8506, 9."""

    SUCCESS = 2001
    LIMITED_SUCCESS = 2002
    COMMAND_UNSUPPORTED = 3001
    UNABLE_TO_DELIVER = 3002
    REALM_NOT_SERVED = 3003
    TOO_BUSY = 3004
    APPLICATION_UNSUPPORTED = 3007
    END_USER_SERVICE_DENIED = 4010
    CREDIT_CONTROL_NOT_APPLICABLE = 4011
    CREDIT_LIMIT_REACHED = 4012
    AVP_UNSUPPORTED = 5001
    UNKNOWN_SESSION_ID = 5002
    INVALID_AVP_VALUE = 5004
    MISSING_AVP = 5005
    CONTRADICTING_AVPS = 5007
    UNABLE_TO_COMPLY = 5012
    USER_UNKNOWN = 5030
    RATING_FAILED = 5031


class Cause(IntEnum):
    """Disconnect-Cause: RFC 6733, 5.4.3."""

    REBOOTING = 0
    BUSY = 1
    DO_NOT_WANT_TO_TALK_TO_YOU = 2
