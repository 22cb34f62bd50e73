"""restore, compact, expire and gc by hand: what they say, what they leave, what they take."""

import re
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

import second_reader
from graddb import LOCKED, OK, USAGE, finish, frame
from versioned_tables import DIMS, ROWS, add, agree, answer, ids, make, names
