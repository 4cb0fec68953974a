"""`django.core` and `django.utils`: packages that hold nothing themselves."""
